/* Message -> checks -> sequence -> fills -> step -> pack -> sink -> account, in one
 * straight line. */
#include "line/pipeline.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

/* Bound of a message on small models: room for a sender that batches or pads. */
#define MIN_PAYLOAD_BOUND 4096

struct pipeline {
    latent_decoder *decoder;
    struct pipeline_options options;
    struct pipeline_clock clock;
    struct pipeline_sink sink;
    char topic[PIPELINE_MAX_TOPIC];
    uint32_t n_channels, bin_width_us, n_readout;
    uint64_t bin_ns, decoder_id;

    struct sequence sequence;
    uint64_t pub_seq;
    struct ledger ledger;
    struct histogram times[TIME_SPARE]; /* spare follows from latency */

    size_t max_payload, n_buffer;
    struct wire_arena arena; /* one unpacked message */
    float *counts;           /* [C] */
    float *neutral;          /* [O] */
    uint8_t *buffer;         /* one packed frame */
};

/* One bin on its way: what it said, and when it was where. */
struct passage {
    struct wire_frame frame;
    uint64_t t_start_ns, t_done_ns;
    bool received; /* a message brought it */
    int sent;      /* the sink's answer */
};

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

static uint64_t now_ns(const struct pipeline *p)
{
    return p->clock.now_ns(p->clock.ctx);
}

/* ---- account: each site counts what it decided, so that the ledgers check each other
 * ---- */

static void account_message(struct pipeline *p, enum wire_refusal refusal)
{
    assert(refusal <= WIRE_REFUSED_SEQUENCE); /* values are judged bin by bin */
    ledger_open(&p->ledger);
    ledger_add(&p->ledger, MESSAGES_IN, 1);
    ledger_add(&p->ledger, MESSAGES_ACCEPTED + refusal, 1);
    ledger_close(&p->ledger);
}

static void account_bin_in(struct pipeline *p, enum counter outcome)
{
    ledger_add(&p->ledger, BINS_IN, 1);
    ledger_add(&p->ledger, outcome, 1);
}

static void account_refused_bin(struct pipeline *p, enum counter outcome)
{
    ledger_open(&p->ledger);
    account_bin_in(p, outcome);
    ledger_close(&p->ledger);
}

static void account_sequence(struct pipeline *p)
{
    ledger_set(&p->ledger, SEQUENCE_LOST, p->sequence.n_lost);
    ledger_set(&p->ledger, SEQUENCE_REORDERED, p->sequence.n_reordered);
    ledger_set(&p->ledger, SEQUENCE_RESTARTS, p->sequence.n_restarts);
}

static void account_flags(struct pipeline *p, uint32_t flags)
{
    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++)
        if (flags & 1u << bit) ledger_add(&p->ledger, FLAGS_FIRST + bit, 1);
}

static void account_frame(struct pipeline *p, const struct passage *b)
{
    ledger_add(&p->ledger, FRAMES_DUE, 1);
    ledger_add(&p->ledger, b->sent ? FRAMES_SUPPRESSED_SEND : FRAMES_PUBLISHED, 1);
    if (b->sent == 0) account_flags(p, b->frame.values.flags);
}

static void account_times(struct pipeline *p, const struct passage *b)
{
    uint64_t t_recv = b->frame.t_recv_ns, t_publish = b->frame.t_publish_ns;
    uint64_t latency = t_publish - t_recv;

    histogram_add(&p->times[TIME_QUEUEING], b->t_start_ns - t_recv);
    histogram_add(&p->times[TIME_DECODING], t_publish - b->t_start_ns);
    histogram_add(&p->times[TIME_PUBLISHING], b->t_done_ns - t_publish);
    histogram_add(&p->times[TIME_LATENCY], latency);
    if (latency > p->options.budget_ns) ledger_add(&p->ledger, STATE_BUDGET_MISSES, 1);
}

static enum pipeline_state state_after(uint32_t flags)
{
    if (flags & LATENT_SAFE) return PIPELINE_FAILED;
    return flags & LATENT_OUTSIDE ? PIPELINE_OUTSIDE : PIPELINE_RUNNING;
}

static void account_decoded(struct pipeline *p, const struct passage *b)
{
    ledger_open(&p->ledger);
    account_bin_in(p, BINS_DECODED);
    account_frame(p, b);
    account_times(p, b);
    ledger_set(&p->ledger, STATE_LAST_SEQ, b->frame.seq);
    ledger_set(&p->ledger, STATE_LAST_EPOCH, b->frame.epoch);
    ledger_set(&p->ledger, STATE_STATE, state_after(b->frame.values.flags));
    ledger_close(&p->ledger);
}

/* made_as: why a frame was due though no bin came. */
static void account_made(struct pipeline *p, const struct passage *b,
                         enum counter made_as)
{
    ledger_open(&p->ledger);
    ledger_add(&p->ledger, made_as, 1);
    account_frame(p, b);
    ledger_close(&p->ledger);
}

/* ---- publish ---- */

static void make_safe(const struct pipeline *p, struct latent_frame *values)
{
    *values = (struct latent_frame){.flags = LATENT_SAFE};
    if (!p->options.send_readout) return;
    values->n_readout = p->n_readout;
    values->readout = p->neutral;
}

/* Stamp, pack, send. A bin that was not received has no arrival, so no budget to keep.
 */
static void publish(struct pipeline *p, struct passage *b)
{
    struct wire_frame *f = &b->frame;
    size_t n_bytes;

    f->pub_seq = p->pub_seq;
    f->clock_id = p->options.clock_id;
    f->decoder_id = p->decoder_id;
    f->valid_for_ns = p->options.valid_for_ns;
    f->values.flags |=
        LATENT_AGE_UNKNOWN; /* the source clock is not mapped in this version */
    f->t_publish_ns = now_ns(p);
    if (b->received) {
        f->budget_left_ns =
            (int64_t)(p->options.budget_ns - (f->t_publish_ns - f->t_recv_ns));
        if (f->budget_left_ns < 0) f->values.flags |= LATENT_LATE;
    }
    n_bytes = wire_pack_frame(f, p->buffer, p->n_buffer);
    assert(n_bytes > 0);
    b->sent = p->sink.send(p->sink.ctx, p->topic, p->buffer, n_bytes);
    b->t_done_ns = now_ns(p);
    if (b->sent == 0) p->pub_seq++;
}

/* ---- decode ---- */

void pipeline_reset(struct pipeline *p)
{
    latent_decoder_reset(p->decoder);
    ledger_open(&p->ledger);
    ledger_add(&p->ledger, SEQUENCE_RESETS, 1);
    ledger_close(&p->ledger);
}

/* Output that is not finite must not reach a device: SAFE goes out in its place and the
 * decoder starts anew. */
static void replace_bad_output(struct pipeline *p, struct passage *b)
{
    make_safe(p, &b->frame.values);
    pipeline_reset(p);
}

/* One frame for a bin that is missing. */
static void fill_one(struct pipeline *p, uint64_t epoch, uint64_t seq)
{
    struct passage b = {.frame = {.epoch = epoch, .seq = seq}};

    if (latent_decoder_predict(p->decoder, &b.frame.values)) replace_bad_output(p, &b);
    b.frame.values.flags |= LATENT_FILLED;
    publish(p, &b);
    account_made(p, &b, SEQUENCE_FILLED);
}

static void prepare_decoder(struct pipeline *p, const struct sequence_verdict *v)
{
    if (v->reset) pipeline_reset(p);
    for (uint64_t i = v->n_fill; i > 0; i--) fill_one(p, v->epoch, v->seq - i);
}

/* Input that the core refuses after all is refused here too; its state is then
 * unchanged. */
static enum counter refused_by_core(int status)
{
    return status == LATENT_E_SHAPE ? BINS_REFUSED_SHAPE : BINS_REFUSED_VALUE;
}

static void decode(struct pipeline *p, struct passage *b, uint32_t extra_flags)
{
    const struct latent_bin bin = {.seq = b->frame.seq,
                                   .t_source_ns = b->frame.t_source_ns,
                                   .marks = b->frame.marks,
                                   .n_channels = p->n_channels,
                                   .counts = p->counts};
    int status;

    b->t_start_ns = now_ns(p);
    status = latent_decoder_step(p->decoder, &bin, &b->frame.values);
    if (status == LATENT_E_SHAPE || status == LATENT_E_VALUE) {
        account_refused_bin(p, refused_by_core(status));
        return;
    }
    if (status) replace_bad_output(p, b);
    b->frame.values.flags |= extra_flags;
    publish(p, b);
    account_decoded(p, b);
}

/* ---- arrive ---- */

static struct passage passage_of(const struct pipeline *p, const struct wire_bins *bins,
                                 size_t i, uint64_t t_recv_ns)
{
    struct passage b = {.received = true};
    struct wire_bin bin;

    wire_bin_at(bins, i, &bin);
    b.frame.epoch = bins->epoch;
    b.frame.seq = bins->seq + i;
    if (bins->t_source_ns) b.frame.t_source_ns = bins->t_source_ns + i * p->bin_ns;
    b.frame.t_recv_ns = t_recv_ns;
    b.frame.marks = bin.marks;
    b.frame.event_id = bin.event_id;
    return b;
}

static void drop(struct pipeline *p, const struct sequence_verdict *v)
{
    static const enum counter outcome[] = {
        [SEQUENCE_DUPLICATE] = BINS_DUPLICATE,
        [SEQUENCE_STALE] = BINS_STALE,
        [SEQUENCE_LATE_AFTER_FILL] = BINS_LATE_AFTER_FILL,
    };

    sequence_apply(&p->sequence, v);
    ledger_open(&p->ledger);
    account_bin_in(p, outcome[v->outcome]);
    account_sequence(p);
    ledger_close(&p->ledger);
}

/* The order of the checks is the contract's: shape, then sequence, then values. */
static void on_bin(struct pipeline *p, const struct wire_bins *bins, size_t i,
                   uint64_t t_recv_ns)
{
    enum wire_refusal refusal = wire_bin_counts(bins, i, p->counts);
    struct passage b = passage_of(p, bins, i, t_recv_ns);
    struct sequence_verdict v;

    if (refusal == WIRE_REFUSED_SHAPE) {
        account_refused_bin(p, BINS_REFUSED_SHAPE);
        return;
    }
    sequence_check(&p->sequence, b.frame.epoch, b.frame.seq, &v);
    if (v.outcome != SEQUENCE_DECODE) {
        drop(p, &v);
        return;
    }
    if (refusal != WIRE_OK) {
        account_refused_bin(p, BINS_REFUSED_VALUE);
        return;
    }
    sequence_apply(&p->sequence, &v);
    account_sequence(p);
    prepare_decoder(p, &v);
    decode(p, &b, v.n_missing ? LATENT_GAP : 0);
}

/* Numbers and times of the bins of one message count up from its first and may not
 * wrap. */
static bool wraps(const struct pipeline *p, const struct wire_bins *bins)
{
    uint64_t last;

    return __builtin_add_overflow(bins->seq, bins->n_bins, &last) ||
           __builtin_add_overflow(bins->t_source_ns, bins->n_bins * p->bin_ns, &last);
}

static enum wire_refusal message_check(struct pipeline *p, const void *payload,
                                       size_t n_bytes, struct wire_bins *bins)
{
    enum wire_refusal refusal;

    if (n_bytes > p->max_payload) return WIRE_REFUSED_LENGTH;
    refusal = wire_unpack_bins(&p->arena, payload, n_bytes, bins);
    if (refusal != WIRE_OK) return refusal;
    if (bins->n_channels != p->n_channels) return WIRE_REFUSED_SHAPE;
    if (bins->bin_width_us != p->bin_width_us) return WIRE_REFUSED_SHAPE;
    return wraps(p, bins) ? WIRE_REFUSED_SEQUENCE : WIRE_OK;
}

void pipeline_on_frame(struct pipeline *p, const void *payload, size_t n_bytes,
                       uint64_t t_recv_ns)
{
    struct wire_bins bins;
    enum wire_refusal refusal = message_check(p, payload, n_bytes, &bins);

    account_message(p, refusal);
    if (refusal != WIRE_OK) return;
    for (size_t i = 0; i < bins.n_bins; i++) on_bin(p, &bins, i, t_recv_ns);
}

void pipeline_refuse_parts(struct pipeline *p)
{
    account_message(p, WIRE_REFUSED_LENGTH);
}

/* It stands for no bin of its own: it repeats the newest number and counts as missing,
 * so that the frames' ledger balances. */
void pipeline_send_safe(struct pipeline *p)
{
    struct passage b = {
        .frame = {.epoch = p->sequence.epoch, .seq = p->sequence.newest}};

    make_safe(p, &b.frame.values);
    publish(p, &b);
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
