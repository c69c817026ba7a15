/* Making a line, its entries, and what others may read of it. */
#include "line/pipeline.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/account.h"
#include "line/arrive.h"
#include "line/decode.h"
#include "line/line.h"
#include "line/publish.h"

/* Bound of a message on small models: room for a sender that batches or pads. */
#define MIN_PAYLOAD_BOUND 4096

static const char *const state_names[PIPELINE_N_STATES] = {
    [PIPELINE_WAITING] = "waiting",
    [PIPELINE_RUNNING] = "running",
    [PIPELINE_OUTSIDE] = "outside",
    [PIPELINE_FAILED] = "failed",
};

static const char *const time_names[N_TIMES] = {
    [TIME_QUEUEING] = "queueing",     [TIME_DECODING] = "decoding",
    [TIME_PUBLISHING] = "publishing", [TIME_LATENCY] = "latency",
    [TIME_SPARE] = "spare",
};

const char *pipeline_state_name(enum pipeline_state state)
{
    assert(state < PIPELINE_N_STATES);
    return state_names[state];
}

const char *pipeline_time_name(enum pipeline_time time)
{
    assert(time < N_TIMES);
    return time_names[time];
}

/* ---- entries ---- */

typedef void entry_fn(struct pipeline *p, const struct line_event *entry);

static void on_message(struct pipeline *p, const struct line_event *entry)
{
    arrive_message(p, entry->bytes, entry->n_bytes, entry->t_ns);
}

static void on_parts(struct pipeline *p, const struct line_event *entry)
{
    (void)entry;
    account_message(p, WIRE_REFUSED_LENGTH);
}

static void on_reset(struct pipeline *p, const struct line_event *entry)
{
    (void)entry;
    decode_reset(p);
}

/* It stands for no bin of its own: it repeats the newest number and counts as missing,
 * so that the frames' ledger balances. */
static void on_stop(struct pipeline *p, const struct line_event *entry)
{
    struct passage b = {
        .frame = {.epoch = p->state.sequence.epoch, .seq = p->state.sequence.newest}};

    (void)entry;
    publish_make_safe(p, &b.frame.values);
    publish_frame(p, &b);
    account_made(p, &b, SEQUENCE_MISSING);
}

static entry_fn *const entries[] = {
    [LINE_MESSAGE] = on_message,
    [LINE_PARTS] = on_parts,
    [LINE_RESET] = on_reset,
    [LINE_STOP] = on_stop,
};

void pipeline_enter(struct pipeline *p, const struct line_event *entry)
{
    assert(line_event_is_entry(entry->kind));
    line_tell(p, entry);
    entries[entry->kind](p, entry);
    line_tell(p, &(struct line_event){.kind = LINE_DONE});
}

void pipeline_on_frame(struct pipeline *p, const void *payload, size_t n_bytes,
                       uint64_t t_recv_ns)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_MESSAGE,
                                           .t_ns = t_recv_ns,
                                           .bytes = payload,
                                           .n_bytes = n_bytes});
}

void pipeline_refuse_parts(struct pipeline *p)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_PARTS});
}

void pipeline_reset(struct pipeline *p)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_RESET});
}

void pipeline_send_safe(struct pipeline *p)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_STOP});
}

/* ---- snapshots ---- */

struct snapshot_header {
    uint64_t n_bytes; /* of the whole */
    uint64_t check;   /* of the line's part, against accidents */
};

/* FNV-1a: enough to tell a damaged copy, and cheap in the data thread. */
static uint64_t check_of(const void *bytes, size_t n)
{
    const unsigned char *byte = bytes;
    uint64_t check = 14695981039346656037u;

    for (size_t i = 0; i < n; i++) check = (check ^ byte[i]) * 1099511628211u;
    return check;
}

size_t pipeline_size(const struct pipeline *p)
{
    return sizeof(struct snapshot_header) + sizeof p->state +
           latent_decoder_size(p->decoder);
}

int pipeline_save(const struct pipeline *p, void *buf, size_t n)
{
    const struct snapshot_header head = {pipeline_size(p),
                                         check_of(&p->state, sizeof p->state)};
    unsigned char *to = buf;

    if (n < head.n_bytes) return LATENT_E_SHAPE;
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, &p->state, sizeof p->state);
    return latent_decoder_save(p->decoder, to + sizeof head + sizeof p->state,
                               n - sizeof head - sizeof p->state);
}

int pipeline_load(struct pipeline *p, const void *buf, size_t n)
{
    const unsigned char *from = buf;
    struct snapshot_header head;
    struct line_state state;
    int status;

    if (n < pipeline_size(p)) return LATENT_E_SNAPSHOT;
    memcpy(&head, from, sizeof head);
    memcpy(&state, from + sizeof head, sizeof state);
    if (head.n_bytes != pipeline_size(p) ||
        head.check != check_of(&state, sizeof state) ||
        !sequence_is_sound(&state.sequence, &p->options.sequence))
        return LATENT_E_SNAPSHOT;
    status = latent_decoder_load(p->decoder, from + sizeof head + sizeof state,
                                 n - sizeof head - sizeof state);
    if (status == 0) p->state = state;
    return status;
}

/* ---- life ---- */

static size_t payload_bound(uint32_t n_channels)
{
    size_t bound = wire_bins_bound(WIRE_MAX_BINS, n_channels);

    if (bound < MIN_PAYLOAD_BOUND) return MIN_PAYLOAD_BOUND;
    return bound < PIPELINE_MAX_PAYLOAD ? bound : PIPELINE_MAX_PAYLOAD;
}

/* Zeroed, 64-byte aligned, and every page touched: the first bin must not be the one
 * that pays for it. */
static void *touched_memory(size_t n_bytes)
{
    size_t n = (n_bytes + 64) / 64 * 64;
    void *memory = aligned_alloc(64, n);

    if (memory) memset(memory, 0, n);
    return memory;
}

static bool take_memory(struct pipeline *p, const struct latent_info *info)
{
    size_t n_values = (size_t)info->n_latents + info->n_rates + info->n_readout;

    p->max_payload = payload_bound(info->n_channels);
    p->arena.size = WIRE_ARENA_BASE + 4 * p->max_payload;
    p->arena.bytes = touched_memory(p->arena.size);
    p->n_buffer = wire_frame_bound(n_values);
    p->buffer = touched_memory(p->n_buffer);
    p->counts = touched_memory(info->n_channels * sizeof *p->counts);
    p->neutral = touched_memory(info->n_readout * sizeof *p->neutral);
    return p->arena.bytes && p->buffer && p->counts && p->neutral;
}

int pipeline_new(struct pipeline **out, latent_decoder *d,
                 const struct latent_info *info, const struct pipeline_options *options,
                 struct pipeline_clock clock, struct pipeline_sink sink)
{
    struct pipeline *p = touched_memory(sizeof *p);

    *out = NULL;
    if (!p) return LATENT_E_NOMEM;
    p->decoder = d;
    p->options = *options;
    p->clock = clock;
    p->sink = sink;
    snprintf(p->topic, sizeof p->topic, "%s/frame", options->name);
    p->n_channels = info->n_channels;
    p->bin_width_us = info->bin_width_us;
    p->n_readout = info->n_readout;
    p->bin_ns = (uint64_t)info->bin_width_us * 1000;
    p->decoder_id = latent_decoder_id(d);
    sequence_init(&p->state.sequence, &options->sequence);
    if (!take_memory(p, info)) {
        pipeline_free(p);
        return LATENT_E_NOMEM;
    }
    for (uint32_t o = 0; o < info->n_readout; o++)
        p->neutral[o] = info->readout[o].neutral;
    *out = p;
    return 0;
}

void pipeline_free(struct pipeline *p)
{
    if (!p) return;
    free(p->arena.bytes);
    free(p->buffer);
    free(p->counts);
    free(p->neutral);
    free(p);
}

void pipeline_set_tap(struct pipeline *p, struct line_tap tap)
{
    p->tap = tap;
}

size_t pipeline_max_payload(const struct pipeline *p)
{
    return p->max_payload;
}

bool pipeline_read(struct pipeline *p, struct ledger_values *out)
{
    return ledger_read(&p->ledger, out);
}

/* What is left of a bin: the more the latency takes, the less. */
static uint64_t spare(const struct pipeline *p, uint64_t latency_ns)
{
    return latency_ns < p->bin_ns ? p->bin_ns - latency_ns : 0;
}

void pipeline_read_time(struct pipeline *p, enum pipeline_time time,
                        struct histogram_summary *out)
{
    assert(time < N_TIMES);
    histogram_read(&p->times[time == TIME_SPARE ? TIME_LATENCY : time], out);
    if (time != TIME_SPARE || out->n == 0) return;
    out->p50_ns = spare(p, out->p50_ns);
    out->p99_ns = spare(p, out->p99_ns);
    out->p999_ns = spare(p, out->p999_ns);
    out->max_ns = spare(p, out->max_ns);
}
