/* Making a line, its entries, and what others may read of it. */
#include "line/line.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/account.h"
#include "line/arrive.h"
#include "line/decode.h"
#include "line/inside.h"
#include "line/publish.h"
#include "line/silence.h"

/* Bound of a message on small models: room for a sender that batches or pads. */
#define MIN_PAYLOAD_BOUND 4096

static const char *const state_names[PIPELINE_N_STATES] = {
    [PIPELINE_WAITING] = "waiting",
    [PIPELINE_RUNNING] = "running",
    [PIPELINE_OUTSIDE] = "outside",
    [PIPELINE_SILENT] = "silent",
    [PIPELINE_FAILED] = "failed",
    [PIPELINE_SAFE_LEASE] = "safe-lease",
    [PIPELINE_SAFE_MISSING] = "safe-missing",
    [PIPELINE_SAFE_LATE] = "safe-late",
    [PIPELINE_SAFE_OPERATOR] = "safe-operator",
    [PIPELINE_STOPPING] = "stopping",
};

static const char *const time_names[N_TIMES] = {
    [TIME_QUEUEING] = "queueing", [TIME_DECODING] = "decoding", [TIME_PUBLISHING] = "publishing",
    [TIME_LATENCY] = "latency",   [TIME_SPARE] = "spare",
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

static void on_tick(struct pipeline *p, const struct line_event *entry)
{
    silence_on_tick(p, entry->t_ns);
}

/* Whoever asks for SAFE is answered at once, not with the next bin. */
static void go_safe(struct pipeline *p, enum safe_reason reason, uint64_t now_ns)
{
    publish_enter_safe(p, reason, now_ns, LINE_NEVER);
    silence_break(p, now_ns);
    silence_on_tick(p, now_ns);
}

static void on_safe_on(struct pipeline *p, const struct line_event *entry)
{
    go_safe(p, SAFE_OPERATOR, entry->t_ns);
}

static void on_safe_off(struct pipeline *p, const struct line_event *entry)
{
    (void)entry;
    safe_release(&p->state.safe);
}

static void on_stop(struct pipeline *p, const struct line_event *entry)
{
    go_safe(p, SAFE_STOP, entry->t_ns);
}

static entry_fn *const entries[] = {
    [LINE_MESSAGE] = on_message, [LINE_PARTS] = on_parts,     [LINE_TICK] = on_tick,
    [LINE_RESET] = on_reset,     [LINE_SAFE_ON] = on_safe_on, [LINE_SAFE_OFF] = on_safe_off,
    [LINE_STOP] = on_stop,
};

void pipeline_enter(struct pipeline *p, const struct line_event *entry)
{
    assert(line_event_is_entry(entry->kind));
    line_tell(p, entry);
    entries[entry->kind](p, entry);
    line_tell(p, &(struct line_event){.kind = LINE_DONE});
}

void pipeline_on_frame(struct pipeline *p, const void *payload, size_t n_bytes, uint64_t t_recv_ns)
{
    pipeline_enter(
        p, &(struct line_event){
               .kind = LINE_MESSAGE, .t_ns = t_recv_ns, .bytes = payload, .n_bytes = n_bytes});
}

void pipeline_refuse_parts(struct pipeline *p)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_PARTS});
}

void pipeline_reset(struct pipeline *p)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_RESET});
}

void pipeline_on_tick(struct pipeline *p, uint64_t now_ns)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_TICK, .t_ns = now_ns});
}

void pipeline_safe_on(struct pipeline *p, uint64_t now_ns)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_SAFE_ON, .t_ns = now_ns});
}

void pipeline_safe_off(struct pipeline *p)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_SAFE_OFF});
}

void pipeline_stop(struct pipeline *p, uint64_t now_ns)
{
    pipeline_enter(p, &(struct line_event){.kind = LINE_STOP, .t_ns = now_ns});
}

uint64_t pipeline_next_tick_ns(const struct pipeline *p)
{
    return silence_next_ns(p);
}

bool pipeline_is_at_rest(const struct pipeline *p)
{
    return p->state.safe.on && p->state.safe.arrived;
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
    return sizeof(struct snapshot_header) + sizeof p->state + p->n_kept * sizeof *p->kept +
           latent_decoder_size(p->decoder);
}

/* Where the parts of a snapshot lie. */
struct snapshot {
    unsigned char *head, *state, *kept, *decoder;
    size_t n_kept, n_line, n_decoder; /* bytes; line: state and kept */
};

static struct snapshot snapshot_in(const struct pipeline *p, const void *buf, size_t n)
{
    struct snapshot s = {.head = (unsigned char *)(uintptr_t)buf};

    s.state = s.head + sizeof(struct snapshot_header);
    s.kept = s.state + sizeof p->state;
    s.n_kept = p->n_kept * sizeof *p->kept;
    s.decoder = s.kept + s.n_kept;
    s.n_line = (size_t)(s.decoder - s.state);
    s.n_decoder = n - (size_t)(s.decoder - s.head);
    return s;
}

int pipeline_save(const struct pipeline *p, void *buf, size_t n)
{
    struct snapshot_header head = {.n_bytes = pipeline_size(p)};
    struct snapshot s;

    if (n < head.n_bytes) return LATENT_E_SHAPE;
    s = snapshot_in(p, buf, n);
    memcpy(s.state, &p->state, sizeof p->state);
    memcpy(s.kept, p->kept, s.n_kept);
    head.check = check_of(s.state, s.n_line);
    memcpy(s.head, &head, sizeof head);
    return latent_decoder_save(p->decoder, s.decoder, s.n_decoder);
}

int pipeline_load(struct pipeline *p, const void *buf, size_t n)
{
    struct snapshot_header head;
    struct line_state state;
    struct snapshot s;
    int status;

    if (n < pipeline_size(p)) return LATENT_E_SNAPSHOT;
    s = snapshot_in(p, buf, n);
    memcpy(&head, s.head, sizeof head);
    memcpy(&state, s.state, sizeof state);
    if (head.n_bytes != pipeline_size(p) || head.check != check_of(s.state, s.n_line) ||
        !sequence_is_sound(&state.sequence, &p->options.sequence))
        return LATENT_E_SNAPSHOT;
    status = latent_decoder_load(p->decoder, s.decoder, s.n_decoder);
    if (status) return status;
    p->state = state;
    memcpy(p->kept, s.kept, s.n_kept);
    return 0;
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

/* What the snapshot holds lies in one block. */
static bool take_kept(struct pipeline *p, const struct latent_info *info)
{
    p->n_kept = (size_t)info->n_latents + info->n_rates + info->n_readout + info->n_channels;
    p->kept = touched_memory(p->n_kept * sizeof *p->kept);
    if (!p->kept) return false;
    p->shown_latents = p->kept;
    p->shown_rates = p->shown_latents + info->n_latents;
    p->shown_readout = p->shown_rates + info->n_rates;
    p->last_counts = p->shown_readout + info->n_readout;
    return true;
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
    p->zeros = touched_memory(info->n_channels * sizeof *p->zeros);
    p->neutral = touched_memory(info->n_readout * sizeof *p->neutral);
    p->readout = touched_memory(info->n_readout * sizeof *p->readout);
    return take_kept(p, info) && p->arena.bytes && p->buffer && p->counts && p->zeros &&
           p->neutral && p->readout;
}

static void describe(struct pipeline *p, const struct latent_info *info,
                     const struct pipeline_options *options)
{
    p->options = *options;
    p->options.sequence.fill = options->policy.on_gap != ON_GAP_RESET;
    snprintf(p->topic, sizeof p->topic, "%s/frame", options->name);
    p->n_channels = info->n_channels;
    p->bin_width_us = info->bin_width_us;
    p->n_readout = info->n_readout;
    p->bin_ns = (uint64_t)info->bin_width_us * 1000;
    p->decoder_id = latent_decoder_id(p->decoder);
    p->mean = info->channel_mean;
    p->limits = info->readout;
}

static void start(struct pipeline *p, const struct latent_info *info)
{
    sequence_init(&p->state.sequence, &p->options.sequence);
    p->state.silence.t_due_ns = LINE_NEVER;
    for (uint32_t o = 0; o < info->n_readout; o++)
        p->neutral[o] = p->shown_readout[o] = info->readout[o].neutral;
}

int pipeline_new(struct pipeline **out, latent_decoder *d, const struct latent_info *info,
                 const struct pipeline_options *options, struct pipeline_clock clock,
                 struct pipeline_sink sink)
{
    struct pipeline *p;

    *out = NULL;
    if (options->policy.on_gap == ON_GAP_MEAN && !info->channel_mean) return LATENT_E_UNSUPPORTED;
    p = touched_memory(sizeof *p);
    if (!p) return LATENT_E_NOMEM;
    p->decoder = d;
    p->clock = clock;
    p->sink = sink;
    describe(p, info, options);
    if (!take_memory(p, info)) {
        pipeline_free(p);
        return LATENT_E_NOMEM;
    }
    start(p, info);
    *out = p;
    return 0;
}

void pipeline_free(struct pipeline *p)
{
    if (!p) return;
    free(p->arena.bytes);
    free(p->buffer);
    free(p->counts);
    free(p->zeros);
    free(p->neutral);
    free(p->readout);
    free(p->kept);
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

void pipeline_read_time(struct pipeline *p, enum pipeline_time time, struct histogram_summary *out)
{
    assert(time < N_TIMES);
    histogram_read(&p->times[time == TIME_SPARE ? TIME_LATENCY : time], out);
    if (time != TIME_SPARE || out->n == 0) return;
    out->p50_ns = spare(p, out->p50_ns);
    out->p99_ns = spare(p, out->p99_ns);
    out->p999_ns = spare(p, out->p999_ns);
    out->max_ns = spare(p, out->max_ns);
}
