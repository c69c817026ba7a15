/* Simulated hours of a recording whose channels die, shout and clump, one after the other, while
 * the rates of all drift and rest, in trials and bursts, with artefacts over all channels: every
 * fault is masked, nothing else, and each mask goes when its fault is over.
 *
 * LATENT_DAY_HOURS=24 LATENT_DAY_CHANNELS=192 is the long form, whose figures stand in
 * daemon/lib/health/README.md. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/channels.h"
#include "health/masker.h"
#include "latent-sim/rng.h"

enum { BIN_US = 50000, MOST_CHANNELS = 1024, LOOK_BINS = 1, N_KINDS = 3 };
#define BIN_S (BIN_US * 1e-6)
#define TRAINING_S 1200.0
#define FAULT_EVERY_S 200.0 /* a new one ... */
#define FAULT_S 600.0       /* ... which lasts so long */
#define REST_S 600.0        /* at the end of each hour */
#define PI 3.14159265358979323846

enum fault { NO_FAULT, DEAD, SHOUTING, CLUMPED };
static const char *const fault_names[] = {"", "dead", "shouting", "clumped"};

struct channel {
    double rate_hz, drift_s, phase, tuning; /* drift_s: the period of its drift */
    double burst_end_s;
    enum fault fault;
    double fault_begin_s, fault_end_s; /* of the newest */
    bool was_masked;                   /* during it */
    double masked_s;                   /* since when; 0: never */
    uint64_t n_masks;
};

struct world {
    struct rng rng;
    bool is_real;
    uint32_t n_channels;
    struct channel channel[MOST_CHANNELS];
    double now_s, next_fault_s, next_artefact_s, artefact_end_s;
    bool has_faults;
    uint64_t n_artefact_bins;
    float counts[MOST_CHANNELS], mean[MOST_CHANNELS], variance[MOST_CHANNELS];
};

struct outcome {
    uint64_t n_faults[N_KINDS + 1], n_masks[N_KINDS + 1], n_false, n_missed, n_unmasked;
    double sum_s[N_KINDS + 1], most_s[N_KINDS + 1], most_unmask_s;
};

static double setting(const char *name, double otherwise)
{
    const char *text = getenv(name);

    return text ? strtod(text, NULL) : otherwise;
}

/* ---- the recording ---- */

static void world_make(struct world *w, bool is_real, uint32_t n_channels)
{
    memset(w, 0, sizeof *w);
    rng_init(&w->rng, is_real ? 2 : 1, 0);
    w->is_real = is_real;
    w->n_channels = n_channels;
    for (uint32_t c = 0; c < n_channels; c++) {
        struct channel *ch = &w->channel[c];

        ch->rate_hz = exp(rng_between(&w->rng, log(0.2), log(60)));
        ch->drift_s = rng_between(&w->rng, 3600, 6 * 3600);
        ch->phase = rng_between(&w->rng, 0, 2 * PI);
        ch->tuning = rng_between(&w->rng, 0, 0.9);
    }
    w->next_artefact_s = 10.0;
    w->next_fault_s = FAULT_EVERY_S;
}

/* Trials of 3 s with 1 s between them; rest at the end of the hour; a drift between 2/5 and 5/2
 * (real: 2/3 and 3/2), which training did not see. */
static double rate_now(const struct world *w, const struct channel *c)
{
    double in_trial_s = fmod(w->now_s, 4.0), rate = c->rate_hz;

    if (in_trial_s < 3.0) rate *= 1 + c->tuning * sin(2 * PI * in_trial_s / 3.0 + c->phase);
    if (w->has_faults) {
        rate *= exp(log(w->is_real ? 1.5 : 2.5) * sin(2 * PI * w->now_s / c->drift_s + c->phase));
        if (fmod(w->now_s, 3600.0) > 3600.0 - REST_S) rate *= 0.5;
    }
    if (w->now_s >= c->burst_end_s) return rate;
    return w->is_real ? 3 * rate : fmax(rate, fmin(6 * rate, 300));
}

static float draw_counts(struct world *w, const struct channel *c)
{
    double expected = rate_now(w, c) * BIN_S;

    if (c->fault == DEAD) return 0.0f;
    if (c->fault == SHOUTING) expected = 12 * fmax(c->rate_hz, 0.5) * BIN_S;
    if (c->fault == CLUMPED && rng_uniform(&w->rng) < 0.125)
        return rintf(w->mean[c - w->channel] + 15 * sqrtf(w->variance[c - w->channel]));
    return (float)rng_poisson(&w->rng, expected);
}

/* Band power, say: a level that goes with the rate, and noise. */
static float draw_real(struct world *w, const struct channel *c)
{
    double level = rate_now(w, c), size = 0.2 * c->rate_hz;

    if (c->fault == DEAD) return (float)c->rate_hz;
    if (c->fault == SHOUTING) size = 10 * c->rate_hz;
    if (c->fault == CLUMPED) size *= rng_uniform(&w->rng) < 0.25 ? 100 : 0.1;
    return (float)(level + size * rng_normal(&w->rng));
}

static void world_bin(struct world *w)
{
    bool is_artefact;

    if (w->now_s >= w->next_artefact_s && w->has_faults) {
        w->artefact_end_s = w->now_s + BIN_S * (1 + rng_below(&w->rng, 3));
        w->next_artefact_s = w->now_s + rng_between(&w->rng, 5, 40);
    }
    is_artefact = w->now_s < w->artefact_end_s;
    w->n_artefact_bins += is_artefact;
    for (uint32_t c = 0; c < w->n_channels; c++) {
        struct channel *ch = &w->channel[c];

        if (rng_next(&w->rng) % 1200 == 0) ch->burst_end_s = w->now_s + 0.3; /* once a minute */
        w->counts[c] = w->is_real ? draw_real(w, ch) : draw_counts(w, ch);
        if (is_artefact) w->counts[c] += w->is_real ? 20 * (float)ch->rate_hz : 60.0f;
    }
    w->now_s += BIN_S;
}

static void world_train(struct world *w)
{
    double sum[MOST_CHANNELS] = {0}, squares[MOST_CHANNELS] = {0};
    int n = 0;

    for (; w->now_s < TRAINING_S; n++) {
        world_bin(w);
        for (uint32_t c = 0; c < w->n_channels; c++) {
            sum[c] += (double)w->counts[c];
            squares[c] += (double)w->counts[c] * (double)w->counts[c];
        }
    }
    for (uint32_t c = 0; c < w->n_channels; c++) {
        w->mean[c] = (float)(sum[c] / n);
        w->variance[c] = (float)(squares[c] / n - sum[c] / n * (sum[c] / n));
    }
    for (uint32_t c = 0; c < w->n_channels; c++) w->channel[c].burst_end_s = 0;
    w->now_s = 0;
    w->has_faults = true;
}

/* One that training knows well enough to be called dead, and that has been well for a while. */
static bool is_ready(const struct world *w, uint32_t c)
{
    const struct channel *ch = &w->channel[c];

    return ch->fault == NO_FAULT && w->mean[c] > 1.0f * (float)BIN_S &&
           (ch->fault_end_s == 0.0 || w->now_s > ch->fault_end_s + 600);
}

static void world_faults(struct world *w, struct outcome *o)
{
    for (uint32_t c = 0; c < w->n_channels; c++) {
        struct channel *ch = &w->channel[c];

        if (ch->fault == NO_FAULT || w->now_s < ch->fault_end_s) continue;
        o->n_missed += !ch->was_masked;
        ch->fault = NO_FAULT;
    }
    if (w->now_s < w->next_fault_s) return;
    for (int tries = 0; tries < 100; tries++) {
        uint32_t c = rng_below(&w->rng, w->n_channels);

        if (!is_ready(w, c)) continue;
        w->channel[c].fault = 1 + (enum fault)rng_below(&w->rng, N_KINDS);
        w->channel[c].was_masked = false;
        w->channel[c].fault_begin_s = w->now_s;
        w->channel[c].fault_end_s = w->now_s + FAULT_S;
        o->n_faults[w->channel[c].fault]++;
        w->next_fault_s = w->now_s + FAULT_EVERY_S;
        return;
    }
}

/* ---- what was done about it ---- */

/* Right while the channel is at fault; at most one in a minute. */
static void note_mask(struct world *w, struct channel *c, struct outcome *o)
{
    double took_s = w->now_s - c->fault_begin_s;

    if (c->n_masks++ > 0) assert_true(w->now_s - c->masked_s >= 60);
    c->masked_s = w->now_s;
    if (c->fault == NO_FAULT) {
        o->n_false++;
        return;
    }
    c->was_masked = true;
    o->n_masks[c->fault]++;
    o->sum_s[c->fault] += took_s;
    o->most_s[c->fault] = fmax(o->most_s[c->fault], took_s);
}

static void note_changes(struct world *w, const uint8_t *before, const uint8_t *after,
                         struct outcome *o)
{
    size_t n_changes = 0;

    for (uint32_t c = 0; c < w->n_channels; c++) {
        bool is_masked = channels_has(after, c);

        if (channels_has(before, c) == is_masked) continue;
        n_changes++;
        if (is_masked) {
            note_mask(w, &w->channel[c], o);
        } else {
            o->n_unmasked++;
            o->most_unmask_s = fmax(o->most_unmask_s, w->now_s - w->channel[c].fault_end_s);
        }
    }
    assert_true(n_changes <= 1);
}

static void live(struct world *w, struct outcome *o, double hours)
{
    const struct latent_info info = {.n_channels = w->n_channels,
                                     .bin_width_us = BIN_US,
                                     .input = w->is_real ? LATENT_INPUT_REAL : LATENT_INPUT_COUNTS,
                                     .channel_mean = w->mean,
                                     .channel_variance = w->variance};
    uint8_t masked[MOST_CHANNELS / 8] = {0}, next[MOST_CHANNELS / 8];
    struct bad_channels *bad = bad_channels_new(&info);
    struct masker masker;

    assert_int_equal(masker_open(&masker, bad, w->n_channels), 0);
    while (w->now_s < hours * 3600) {
        uint64_t now_ns;

        world_faults(w, o);
        world_bin(w);
        bad_channels_add(bad, w->counts);
        now_ns = (uint64_t)llround(w->now_s * 1e9);
        masker_look(&masker);
        if (!masker_decide(&masker, masked, w->n_channels / 4, now_ns, next)) continue;
        masker_ordered(&masker, masked, next, now_ns);
        note_changes(w, masked, next, o);
        memcpy(masked, next, sizeof masked);
    }
    assert_true(bad_channels_artefacts(bad) >= w->n_artefact_bins * 9 / 10);
    printf("%s artefact bins, %" PRIu64 " left out\n",
           w->is_real ? "real:" : "counts:", bad_channels_artefacts(bad));
    masker_close(&masker);
    bad_channels_free(bad);
}

static void print(const struct outcome *o, double hours, const struct world *w)
{
    double channel_hours = hours * w->n_channels;

    printf("%.1f h, %u channels: %" PRIu64
           " false masks (95%%: below %.2g an hour and channel), %" PRIu64
           " faults missed, %" PRIu64 " unmasked, the last %.0f s after its fault\n",
           hours, (unsigned)w->n_channels, o->n_false, 3 / channel_hours, o->n_missed,
           o->n_unmasked, o->most_unmask_s);
    for (int k = 1; k <= N_KINDS; k++)
        printf("  %-9s %4" PRIu64 " masked, after %.0f s on average, %.0f s at most\n",
               fault_names[k], o->n_masks[k],
               o->n_masks[k] ? o->sum_s[k] / (double)o->n_masks[k] : 0, o->most_s[k]);
}

static void run(bool is_real)
{
    static struct world w;
    struct outcome o = {0};
    double hours = setting("LATENT_DAY_HOURS", 1.5);
    uint32_t n_channels = (uint32_t)setting("LATENT_DAY_CHANNELS", 64);

    assert_in_range(n_channels, 64, MOST_CHANNELS);
    world_make(&w, is_real, n_channels);
    world_train(&w);
    live(&w, &o, hours);
    print(&o, hours, &w);
    assert_int_equal(o.n_false, 0);
    assert_int_equal(o.n_missed, 0);
    for (int k = 1; k <= N_KINDS; k++) {
        assert_true(o.n_faults[k] > 0);
        assert_true(o.most_s[k] < 300);
    }
    assert_true(o.n_unmasked + 6 > o.n_masks[DEAD] + o.n_masks[SHOUTING] + o.n_masks[CLUMPED]);
}

static void test_counts(void **state)
{
    (void)state;
    run(false);
}

static void test_real(void **state)
{
    (void)state;
    run(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_real)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
