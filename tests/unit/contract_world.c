/* Events in the order of their times: bins leave the source, parcels arrive, the timer
 * fires. Each entry into the line is told to the oracle with what came of it. */
#include "contract_world.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_MESSAGE = 4096, MAX_CHANNELS = 4, START_S = 1000 };
#define MS ((uint64_t)1000000)

/* ---- chance ---- */

static uint64_t draw(struct world *w, uint64_t low, uint64_t high)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return low + (w->seed >> 33) % (high - low + 1);
}

/* In so many of 10,000 cases; never when all is calm. */
static bool happens(struct world *w, uint64_t in_10000)
{
    return !w->is_calm && draw(w, 0, 9999) < in_10000;
}

static struct line_options draw_options(struct world *w)
{
    uint64_t ramp_ns = draw(w, 0, 3) ? draw(w, 0, 100) * MS : 0;

    return (struct line_options){
        .any_finite = true, /* FLT_MAX stands for what overflows */

        .name = "arm",
        .sequence = {.window_bins = (uint32_t)draw(w, 1, 64), .max_gap_bins = draw(w, 1, 25)},
        .budget_ns = 5 * MS,
        .valid_for_ns = draw(w, 50, 200) * MS,
        .send_readout = true,
        .contract = LINE_CONTRACT,
        .policy = {.on_gap = (enum line_on_gap)draw(w, 0, 4),
                   .on_late = (enum line_on_late)draw(w, 0, 3),
                   .on_missing = (enum line_on_missing)draw(w, 0, 3),
                   .on_silent = (enum line_on_silent)draw(w, 0, 2),
                   .missing_after_ns = draw(w, 20, 120) * MS,
                   .lease_ns = ramp_ns + draw(w, 60, 300) * MS,
                   .max_age_ns = draw(w, 0, 3) ? draw(w, 10, 80) * MS : 0,
                   .safe_ramp_ns = ramp_ns,
                   .safe_start = draw(w, 0, 1) == 1,
                   .safe_exit_bins = (uint32_t)draw(w, 0, 12)}};
}

/* ---- the line's world ---- */

/* Each look takes a moment; now and then the machine does something else. */
static uint64_t read_clock(void *ctx)
{
    struct world *w = ctx;
    uint64_t now_ns = w->now_ns;

    assert_true(w->n_readings < WORLD_MAX_READINGS);
    w->reading[w->n_readings++] = now_ns;
    w->now_ns += draw(w, 1000, 50000);
    if (happens(w, 60)) w->now_ns += draw(w, 1, 60) * MS;
    return now_ns;
}

static int take_frame(void *ctx, const char *topic, const void *bytes, size_t n)
{
    struct world *w = ctx;
    struct seen_frame *f = &w->frame[w->n_frames++];

    (void)topic;
    assert_true(w->n_frames <= WORLD_MAX_FRAMES);
    assert_int_equal(wire_unpack_frame(&w->arena, bytes, n, &f->frame), 0);
    assert_int_equal(f->frame.values.n_readout, ORACLE_N_READOUT);
    memcpy(f->readout, f->frame.values.readout, sizeof f->readout);
    if (f->frame.values.n_latents) {
        memcpy(f->latents, f->frame.values.latents, sizeof f->latents);
        memcpy(f->decoded_latents, w->decoded.latents, sizeof f->latents);
    }
    if (w->decoded.n_readout) memcpy(f->decoded, w->decoded.readout, sizeof f->decoded);
    f->refused = happens(w, 20);
    return f->refused ? -1 : 0;
}

/* ---- the second decoder ---- */

static void step_second(struct world *w, uint64_t seq, float value, uint32_t marks,
                        const float *counts)
{
    float all[MAX_CHANNELS];
    struct latent_bin bin = {.seq = seq, .marks = marks, .n_channels = w->n_channels};

    for (size_t k = 0; k < w->n_channels; k++) all[k] = counts ? counts[k] : value;
    bin.counts = all;
    if (latent_decoder_step(w->second, &bin, &w->decoded)) w->decoded = (struct latent_frame){0};
}

/* It is asked for what the line asks of its own. */
static void hear(void *ctx, const struct line_event *e)
{
    struct world *w = ctx;
    uint64_t i = e->seq - w->opened.seq;

    if (e->kind != LINE_ACTION) return;
    switch ((enum line_action)e->what) {
    case LINE_STEP:
        step_second(w, e->seq, w->opened.value[i], i == 0 ? w->opened.marks : 0, NULL);
        if (w->decoded.n_readout) w->last_value = w->opened.value[i];
        break;
    case LINE_PREDICT:
        if (latent_decoder_predict(w->second, &w->decoded)) w->decoded = (struct latent_frame){0};
        break;
    case LINE_STEP_ZERO:
        step_second(w, e->seq, 0.0f, 0, NULL);
        break;
    case LINE_STEP_HELD:
        step_second(w, e->seq, w->last_value, 0, NULL);
        break;
    case LINE_STEP_MEAN:
        step_second(w, e->seq, 0.0f, 0, w->mean);
        break;
    case LINE_START:
        latent_decoder_reset(w->second);
        break;
    default:
        break;
    }
}

static const struct entry_trace *begin_entry(struct world *w, struct entry_trace *trace)
{
    *trace = (struct entry_trace){.reading = w->reading, .frame = w->frame};
    w->n_readings = w->n_frames = 0;
    return trace;
}

static void end_entry(struct world *w, struct entry_trace *trace)
{
    trace->n_readings = w->n_readings;
    trace->n_frames = w->n_frames;
    w->oracle.t_free_ns = w->now_ns;
}

/* ---- parcels ---- */

static float value_of(struct world *w, enum bin_kind kind)
{
    switch (kind) {
    case BIN_NOT_FINITE:
        return NAN;
    case BIN_HUGE:
        return FLT_MAX;
    default:
        return w->t_bin_ns < w->t_still_ns ? w->still_value : (float)draw(w, 0, 4);
    }
}

static size_t pack(struct world *w, const struct parcel *p, uint8_t *message)
{
    float counts[ORACLE_MAX_BATCH * MAX_CHANNELS];
    uint32_t marks[ORACLE_MAX_BATCH] = {p->marks};
    struct wire_bins head = {.epoch = p->epoch,
                             .seq = p->seq,
                             .bin_width_us = w->bin_width_us,
                             .n_channels = w->n_channels + (p->kind == PARCEL_WIDTH),
                             .n_bins = p->n_bins};
    size_t n;

    for (size_t i = 0; i < p->n_bins; i++) {
        for (size_t k = 0; k < head.n_channels; k++) counts[i * head.n_channels + k] = p->value[i];
    }
    n = wire_pack_bins(&head, counts, marks, NULL, message, MAX_MESSAGE);
    assert_true(n > 0);
    return n;
}

static void deliver(struct world *w, const struct parcel *p, uint64_t t_recv_ns)
{
    uint8_t message[MAX_MESSAGE];
    uint64_t now_ns = w->now_ns;
    struct entry_trace trace;

    if (p->kind == PARCEL_BINS) w->opened = *p;
    begin_entry(w, &trace);
    if (p->kind == PARCEL_PARTS)
        line_refuse_parts(w->line);
    else if (p->kind == PARCEL_GARBAGE)
        line_on_frame(w->line, "\xff\xff", 2, t_recv_ns);
    else
        line_on_frame(w->line, message, pack(w, p, message), t_recv_ns);
    end_entry(w, &trace);
    oracle_on_parcel(&w->oracle, p, now_ns, t_recv_ns, &trace);
}

static void put(struct world *w, const struct parcel *p, uint64_t delay_ns)
{
    struct parcel *to = &w->waiting[w->n_waiting++];

    assert_true(w->n_waiting <= WORLD_MAX_PARCELS);
    *to = *p;
    to->t_ns = w->t_bin_ns + delay_ns;
}

/* What the network does to a message. */
static void post(struct world *w, struct parcel *p)
{
    uint64_t delay_ns = draw(w, 100000, 2000000);

    if (happens(w, 300)) return;
    if (happens(w, 80)) p->kind = PARCEL_GARBAGE;
    if (happens(w, 40)) p->kind = PARCEL_WIDTH;
    if (happens(w, 40)) p->kind = PARCEL_PARTS;
    if (happens(w, 300)) delay_ns += draw(w, 1, 40) * w->bin_width_us * 500;
    put(w, p, delay_ns);
    if (happens(w, 200)) put(w, p, delay_ns + draw(w, 0, 30) * w->bin_width_us * 1000);
}

/* ---- the source ---- */

static void restart_source(struct world *w)
{
    if (w->has_epochs)
        w->epoch++;
    else
        w->seq = w->seq > 5000 ? draw(w, 0, w->seq - 3000) : w->seq;
    if (w->has_epochs) w->seq = draw(w, 0, 1000000);
}

static enum bin_kind draw_kind(struct world *w)
{
    if (happens(w, 60)) return BIN_NOT_FINITE;
    return happens(w, 15) ? BIN_HUGE : BIN_GOOD;
}

static void flush(struct world *w)
{
    if (w->gathering.n_bins) post(w, &w->gathering);
    w->gathering.n_bins = 0;
}

static void make_bin(struct world *w)
{
    struct parcel *g = &w->gathering;

    if (g->n_bins == 0) *g = (struct parcel){.epoch = w->epoch, .seq = w->seq};
    if (g->n_bins == 0 && happens(w, 60)) g->marks = LATENT_MARK_RESET;
    g->bin[g->n_bins] = draw_kind(w);
    g->value[g->n_bins] = value_of(w, g->bin[g->n_bins]);
    g->n_bins++;
    w->seq++;
    w->n_bins++;
    if (g->n_bins >= w->n_gather) flush(w);
}

static void source_acts(struct world *w)
{
    if (happens(w, 20)) w->t_silent_ns = w->t_bin_ns + draw(w, 30, 1500) * MS;
    if (happens(w, 20)) {
        w->t_still_ns = w->t_bin_ns + draw(w, 30, 1500) * MS;
        w->still_value = (float)draw(w, 0, 2);
    }
    if (happens(w, 20)) {
        flush(w);
        restart_source(w);
    }
    if (happens(w, 15)) {
        flush(w);
        w->seq += draw(w, 0, 1) ? draw(w, 20, 3000) : 1000000000;
    }
    if (happens(w, 30) || w->n_gather > 1)
        w->n_gather = happens(w, 1000) ? 1 : (uint32_t)draw(w, 2, ORACLE_MAX_BATCH);
    if (w->t_bin_ns >= w->t_silent_ns) make_bin(w);
    w->t_bin_ns += (uint64_t)w->bin_width_us * 1000;
}

/* ---- the daemon ---- */

static size_t earliest_parcel(const struct world *w)
{
    size_t first = 0;

    for (size_t i = 1; i < w->n_waiting; i++)
        if (w->waiting[i].t_ns < w->waiting[first].t_ns) first = i;
    return first;
}

static bool has_arrived(const struct world *w)
{
    return w->n_waiting && w->waiting[earliest_parcel(w)].t_ns <= w->now_ns;
}

/* false: nothing has arrived. One stamp for all that can be taken, as in the daemon. */
static bool take_parcel(struct world *w)
{
    struct parcel p;
    size_t i;

    if (!has_arrived(w)) return false;
    i = earliest_parcel(w);
    p = w->waiting[i];
    w->waiting[i] = w->waiting[--w->n_waiting];
    deliver(w, &p, w->t_wake_ns);
    return true;
}

static void continue_message(struct world *w)
{
    uint64_t now_ns = w->now_ns;
    struct entry_trace trace;

    begin_entry(w, &trace);
    line_continue(w->line);
    end_entry(w, &trace);
    oracle_on_step(&w->oracle, now_ns, &trace);
    assert_int_equal(line_has_work(w->line), oracle_is_open(&w->oracle));
}

static void tick(struct world *w, bool waits)
{
    uint64_t now_ns = w->now_ns;
    struct entry_trace trace;

    begin_entry(w, &trace);
    line_on_tick(w->line, now_ns, waits);
    end_entry(w, &trace);
    oracle_on_tick(&w->oracle, now_ns, waits, &trace);
}

static void operator_acts(struct world *w)
{
    enum operator_act act = (enum operator_act)draw(w, 0, 2);
    uint64_t now_ns = w->now_ns;
    struct entry_trace trace;

    begin_entry(w, &trace);
    if (act == OPERATOR_RESET) line_reset(w->line);
    if (act == OPERATOR_SAFE_ON) line_safe_on(w->line, now_ns);
    if (act == OPERATOR_SAFE_OFF) line_safe_off(w->line);
    end_entry(w, &trace);
    oracle_on_operator(&w->oracle, act, now_ns, &trace);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What is due, then a step, as often as there is anything; the operator comes between. */
static void serve(struct world *w)
{
    bool waits = true;

    w->t_wake_ns = w->now_ns;
    while (waits) {
        if (happens(w, 20)) operator_acts(w);
        waits = line_has_work(w->line) || has_arrived(w);
        if (line_next_tick_ns(w->line, waits) <= w->now_ns) tick(w, waits);
        if (line_has_work(w->line))
            continue_message(w);
        else
            take_parcel(w);
    }
    if (happens(w, 15)) w->t_stalled_ns = w->now_ns + draw(w, 10, 800) * MS;
}

/* The next thing that the daemon would do, and when it can. */
static uint64_t next_service_ns(const struct world *w)
{
    uint64_t t_ns = line_next_tick_ns(w->line, false);

    if (w->n_waiting) t_ns = least(t_ns, w->waiting[earliest_parcel(w)].t_ns);
    if (t_ns < w->t_stalled_ns) t_ns = w->t_stalled_ns;
    return t_ns < w->now_ns ? w->now_ns : t_ns;
}

static void step(struct world *w, uint64_t t_ns)
{
    if (t_ns > w->now_ns) w->now_ns = t_ns;
    if (w->now_ns == w->t_stalled_ns) w->oracle.t_free_ns = w->now_ns;
    serve(w);
}

void world_run(struct world *w, uint64_t n_bins)
{
    uint64_t end = w->n_bins + n_bins;

    while (w->n_bins < end || w->n_waiting) {
        uint64_t t_ns = next_service_ns(w);

        if (w->n_bins < end && w->t_bin_ns <= t_ns)
            source_acts(w);
        else
            step(w, t_ns);
    }
}

void world_fall_silent(struct world *w, uint64_t ns)
{
    uint64_t end = w->now_ns + ns, t_ns;

    w->is_calm = true;
    while ((t_ns = next_service_ns(w)) <= end) step(w, t_ns);
    if (w->now_ns < end) w->now_ns = end;
}

/* ---- life ---- */

void world_open(struct world *w, const latent_model *model, uint64_t seed)
{
    const struct latent_options decoder_options = {.predicts = 1, .any_finite = 1};
    struct latent_info info;

    memset(w, 0, sizeof *w);
    w->seed = w->first_seed = seed;
    w->now_ns = w->t_bin_ns = START_S * 1000 * MS;
    latent_model_info(model, &info);
    w->n_channels = info.n_channels;
    w->bin_width_us = info.bin_width_us;
    w->options = draw_options(w);
    w->has_epochs = draw(w, 0, 2) > 0;
    w->epoch = w->has_epochs;
    w->seq = draw(w, 0, 1) * 100000;
    w->n_gather = 1;
    w->arena = (struct wire_arena){.bytes = w->arena_bytes, .size = sizeof w->arena_bytes};
    assert_int_equal(latent_decoder_new(&w->decoder, model, &decoder_options, NULL), 0);
    assert_int_equal(line_new(&w->line, w->decoder, &info, &w->options,
                              (struct line_clock){read_clock, w},
                              (struct line_sink){take_frame, w}),
                     0);
    w->mean = info.channel_mean;
    assert_int_equal(latent_decoder_new(&w->second, model, &decoder_options, NULL), 0);
    assert_true(line_add_tap(w->line, (struct line_tap){.on_event = hear, .ctx = w}));
    oracle_init(&w->oracle, &w->options, &info, seed);
}

void world_close(struct world *w)
{
    struct ledger_values v;

    assert_true(line_read(w->line, &v));
    oracle_check(&w->oracle, &v);
    line_free(w->line);
    latent_decoder_free(w->second);
    latent_decoder_free(w->decoder);
}
