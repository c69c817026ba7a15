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

void pipeline_on_frame(struct pipeline *p, const void *payload, size_t n_bytes,
                       uint64_t t_recv_ns)
{
    arrive_message(p, payload, n_bytes, t_recv_ns);
}

void pipeline_refuse_parts(struct pipeline *p)
{
    account_message(p, WIRE_REFUSED_LENGTH);
}

void pipeline_reset(struct pipeline *p)
{
    decode_reset(p);
}

/* It stands for no bin of its own: it repeats the newest number and counts as missing,
 * so that the frames' ledger balances. */
void pipeline_send_safe(struct pipeline *p)
{
    struct passage b = {
        .frame = {.epoch = p->sequence.epoch, .seq = p->sequence.newest}};

    publish_make_safe(p, &b.frame.values);
    publish_frame(p, &b);
    account_made(p, &b, SEQUENCE_MISSING);
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
    sequence_init(&p->sequence, &options->sequence);
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
