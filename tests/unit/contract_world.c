/* Events in the order of their times: bins leave the source, parcels arrive, the timer
 * fires. Each entry into the line is told to the oracle with what came of it. */
#include "contract_wild.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_MESSAGE = 4096, MAX_CHANNELS = 4, START_S = 1000 };
#define MS ((uint64_t)1000000)

static struct line_options draw_options(struct world *w)
{
    uint64_t ramp_ns = world_draw(w, 0, 3) ? world_draw(w, 0, 100) * MS : 0;

    return (struct line_options){
        .any_finite = true, /* FLT_MAX stands for what overflows */

        .name = "arm",
        .sequence = {.window_bins = (uint32_t)world_draw(w, 1, 64),
                     .max_gap_bins = world_draw(w, 1, 25)},
        .max_jump_bins = world_draw(w, 0, 9) ? world_draw(w, 25, 2000) : 0,
        .budget_ns = 5 * MS,
        .valid_for_ns = world_draw(w, 50, 200) * MS,
        .send_readout = true,
        .clock_id = 3,
        .source_clock = (enum line_source_clock)world_draw(w, 0, 2),
        .min_delay_ns = world_draw(w, 0, 1) * 300000,
        .contract = LINE_CONTRACT,
        .policy = {.on_gap = (enum line_on_gap)world_draw(w, 0, 4),
                   .on_late = (enum line_on_late)world_draw(w, 0, 3),
                   .on_missing = (enum line_on_missing)world_draw(w, 0, 3),
                   .on_silent = (enum line_on_silent)world_draw(w, 0, 2),
                   .missing_after_ns = world_draw(w, 20, 120) * MS,
                   .lease_ns = ramp_ns + world_draw(w, 60, 300) * MS,
                   .max_age_ns = world_draw(w, 0, 3) ? world_draw(w, 10, 80) * MS : 0,
                   .safe_ramp_ns = ramp_ns,
                   .safe_start = world_draw(w, 0, 1) == 1,
                   .safe_exit_bins = (uint32_t)world_draw(w, 0, 12)}};
}

/* ---- the line's world ---- */

/* Each look takes a moment; now and then the machine does something else. */
static uint64_t read_clock(void *ctx)
{
    struct world *w = ctx;
    uint64_t now_ns = w->now_ns;

    assert_true(w->n_readings < WORLD_MAX_READINGS);
    w->reading[w->n_readings++] = now_ns;
    w->now_ns += world_draw(w, 1000, 50000);
    if (world_happens(w, 60)) w->now_ns += world_draw(w, 1, 60) * MS;
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
    f->refused = world_happens(w, 20);
    if (!f->refused) consumers_publish(&w->consumers, f, w->now_ns);
    return f->refused ? -1 : 0;
}

/* ---- the second decoder ---- */

/* bin NULL: without input. */
static void step_all(struct world *w, const struct latent_bin *bin)
{
    struct latent_frame frame;

    for (uint32_t m = 0; m < WORLD_N_MODELS; m++) {
        latent_decoder *all[] = {w->second[m], w->decoder[m]};

        for (size_t i = 0; i < (m == w->in_use ? 1 : 2); i++) {
            int status = bin ? latent_decoder_step(all[i], bin, &frame)
                             : latent_decoder_predict(all[i], &frame);

            if (status) frame = (struct latent_frame){0};
            if (i == 0 && m == w->in_use) w->decoded = frame;
        }
    }
}

static void step_second(struct world *w, uint64_t seq, float value, uint32_t marks,
                        const float *counts)
{
    float all[MAX_CHANNELS];
    struct latent_bin bin = {.seq = seq, .marks = marks, .n_channels = w->n_channels};

    for (size_t k = 0; k < w->n_channels; k++) all[k] = counts ? counts[k] : value;
    bin.counts = all;
    step_all(w, &bin);
}

static void reset_all(struct world *w)
{
    for (uint32_t m = 0; m < WORLD_N_MODELS; m++) {
        latent_decoder_reset(w->second[m]);
        if (m != w->in_use) latent_decoder_reset(w->decoder[m]);
    }
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
        step_all(w, NULL);
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
        reset_all(w);
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

static size_t pack(struct world *w, const struct parcel *p, uint8_t *message)
{
    float counts[ORACLE_MAX_BATCH * MAX_CHANNELS];
    uint32_t marks[ORACLE_MAX_BATCH] = {p->marks};
    struct wire_bins head = {.epoch = p->epoch,
                             .seq = p->seq,
                             .t_source_ns = p->t_source_ns,
                             .clock_id = p->clock_id,
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

static void operate(struct world *w, enum operator_act act)
{
    uint64_t now_ns = w->now_ns;
    struct entry_trace trace;

    begin_entry(w, &trace);
    if (act == OPERATOR_RESET) line_reset(w->line);
    if (act == OPERATOR_SAFE_ON) line_safe_on(w->line, now_ns);
    if (act == OPERATOR_SAFE_OFF) line_safe_off(w->line);
    if (act == OPERATOR_STOP) line_stop(w->line, now_ns);
    end_entry(w, &trace);
    oracle_on_operator(&w->oracle, act, now_ns, &trace);
}

/* To the other decoder, or back. */
static void promote(struct world *w)
{
    static const enum line_promotion why[] = {PROMOTE_ASKED, ROLL_BACK_ASKED};
    struct entry_trace trace;

    if (!line_takes(w->line, LINE_PROMOTE)) return;
    begin_entry(w, &trace);
    w->in_use = !w->in_use;
    line_promote(w->line, w->seat[w->in_use], why[!w->in_use]);
    end_entry(w, &trace);
    oracle_on_promotion(&w->oracle, w->seat[w->in_use]->decoder_id, &trace);
}

/* ---- lives of the daemon ---- */

static void open_decoders(struct world *w)
{
    const struct latent_options options = {.predicts = 1, .any_finite = 1};

    w->in_use = 0;
    for (uint32_t m = 0; m < WORLD_N_MODELS; m++) {
        assert_int_equal(latent_decoder_new(&w->decoder[m], w->model[m], &options, NULL), 0);
        assert_int_equal(latent_decoder_new(&w->second[m], w->model[m], &options, NULL), 0);
    }
}

static void begin_life(struct world *w)
{
    struct latent_info info, other;

    latent_model_info(w->model[0], &info);
    latent_model_info(w->model[1], &other);
    open_decoders(w);
    assert_int_equal(line_new(&w->line, w->decoder[0], &info, &w->options,
                              (struct line_clock){read_clock, w},
                              (struct line_sink){take_frame, w}),
                     0);
    w->seat[0] = line_decoder(w->line);
    assert_int_equal(line_decoder_new(&w->seat[1], w->decoder[1], &other), 0);
    assert_true(line_add_tap(w->line, (struct line_tap){.on_event = hear, .ctx = w}));
    w->decoded = (struct latent_frame){0};
    w->is_stopping = false;
    w->n_lives++;
    oracle_init(&w->oracle, &w->options, &info, w->first_seed);
    w->oracle.decoder_id = w->seat[0]->decoder_id;
    w->oracle.t_free_ns = w->now_ns;
}

static void end_life(struct world *w)
{
    struct ledger_values v;
    struct misfit_seen misclaimed;

    assert_true(line_read(w->line, &v));
    w->oracle.count[BINS_IN] -= w->oracle.open.is_judged; /* one that waits for what is filled */
    oracle_check(&w->oracle, &v);
    line_read_misfit(w->line, MISFIT_CLOCK, &misclaimed);
    assert_int_equal(misclaimed.n, w->oracle.n_misclaimed);
    w->n_misclaimed += misclaimed.n;
    for (size_t i = 0; i < ORACLE_N_ENDS; i++) w->n_ends[i] += w->oracle.n_ends[i];
    for (enum counter c = 0; c < N_COUNTERS; c++) w->total[c] += w->oracle.count[c];
    line_free(w->line);
    line_decoder_free(w->seat[1]);
    for (uint32_t m = 0; m < WORLD_N_MODELS; m++) {
        latent_decoder_free(w->second[m]);
        latent_decoder_free(w->decoder[m]);
    }
}

/* What waits in the network waits on; what the operator holds is the first order of the next
 * life. */
static void restart(struct world *w)
{
    bool is_held = w->oracle.asked && !w->oracle.stopped;

    if (w->is_stopping) is_held = w->was_held;
    end_life(w);
    w->now_ns += world_happens(w, 5000) ? world_draw(w, 1, 30) * MS : world_draw(w, 30, 3000) * MS;
    consumers_follow(&w->consumers, w->now_ns);
    begin_life(w);
    if (is_held) operate(w, OPERATOR_SAFE_ON);
}

static void stop(struct world *w)
{
    if (w->is_stopping) return;
    w->was_held = w->oracle.asked;
    w->is_stopping = true;
    operate(w, OPERATOR_STOP);
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
        if (world_happens(w, 20)) operate(w, (enum operator_act)world_draw(w, 0, 2));
        if (world_happens(w, 40)) promote(w);
        if (world_happens(w, 3)) stop(w);
        if (world_happens(w, 3) || (w->is_stopping && line_is_at_rest(w->line))) {
            restart(w);
            break;
        }
        waits = line_has_work(w->line) || has_arrived(w);
        if (line_next_tick_ns(w->line, waits) <= w->now_ns) tick(w, waits);
        if (line_has_work(w->line))
            continue_message(w);
        else
            take_parcel(w);
    }
    if (world_happens(w, 15)) w->t_stalled_ns = w->now_ns + world_draw(w, 10, 800) * MS;
}

/* The next thing that the daemon would do, and when it can. */
static uint64_t next_service_ns(const struct world *w)
{
    uint64_t t_ns = line_next_tick_ns(w->line, false);

    if (line_has_work(w->line)) t_ns = w->now_ns; /* taken in as time went on */
    if (w->n_waiting) t_ns = least(t_ns, w->waiting[earliest_parcel(w)].t_ns);
    if (t_ns < w->t_stalled_ns) t_ns = w->t_stalled_ns;
    return t_ns < w->now_ns ? w->now_ns : t_ns;
}

static void step(struct world *w, uint64_t t_ns)
{
    if (t_ns > w->now_ns) w->now_ns = t_ns;
    if (w->now_ns == w->t_stalled_ns) w->oracle.t_free_ns = w->now_ns;
    serve(w);
    consumers_follow(&w->consumers, w->now_ns);
}

void world_run(struct world *w, uint64_t n_bins)
{
    uint64_t end = w->n_bins + n_bins;

    while (w->n_bins < end || w->n_waiting) {
        uint64_t t_ns = next_service_ns(w);

        if (w->n_bins < end && w->t_bin_ns <= t_ns)
            world_source_acts(w);
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

void world_open(struct world *w, const latent_model *model, const latent_model *other,
                uint64_t seed)
{
    struct latent_info info;

    memset(w, 0, sizeof *w);
    w->seed = w->first_seed = seed;
    w->now_ns = w->t_bin_ns = START_S * 1000 * MS;
    w->n_faster = 1;
    latent_model_info(model, &info);
    w->n_channels = info.n_channels;
    w->bin_width_us = info.bin_width_us;
    w->options = draw_options(w);
    w->has_epochs = world_draw(w, 0, 2) > 0;
    w->epoch = w->has_epochs;
    w->seq = world_draw(w, 0, 1) * 100000;
    wild_begin(w);
    w->n_gather = 1;
    w->arena = (struct wire_arena){.bytes = w->arena_bytes, .size = sizeof w->arena_bytes};
    w->mean = info.channel_mean;
    w->model[0] = model;
    w->model[1] = other;
    begin_life(w);
    consumers_open(&w->consumers, &w->oracle, &info, w->seat[0]->decoder_id, seed);
    consumers_tell(&w->consumers, &w->seat[1]->info, w->seat[1]->decoder_id);
}

void world_close(struct world *w)
{
    end_life(w);
    consumers_close(&w->consumers);
}

uint64_t world_total(const struct world *w, enum counter c)
{
    return w->total[c];
}
