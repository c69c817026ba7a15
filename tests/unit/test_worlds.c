/* The simulator's worlds: flows against scipy, one orbit cut into segments, the recurrent network
 * and the articulators of speech against their equations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "latent-sim/flow.h"
#include "latent-sim/world.h"

#define N_SEGMENTS 40
#define N_CHANNELS 7
#define N_BINS 30

/* ---- flows -------------------------------------------------------------------------- */

static void check_flow(const struct flow *flow, const double start[3], const double expected[3])
{
    double x[3] = {start[0], start[1], start[2]};
    for (int i = 0; i < 2000; i++) flow_step(flow, 0.0005, x);
    for (int i = 0; i < 3; i++) assert_true(fabs(x[i] - expected[i]) < 1e-8);
}

/* scipy.integrate.solve_ivp, DOP853, rtol and atol 1e-13, to time 1. */
static void test_flows_against_scipy(void **state)
{
    const struct flow lorenz = {flow_lorenz, {10.0, 28.0, 8.0 / 3.0}};
    const struct flow rossler = {flow_rossler, {0.2, 0.2, 5.7}};
    const struct flow arneodo = {flow_arneodo, {5.5, 4.5, 1.0}};
    (void)state;
    check_flow(&lorenz, (double[]){1.0, 2.0, 20.0},
               (double[]){-2.0498968837294953, -3.7058556901385575, 10.764499883239612});
    check_flow(&rossler, (double[]){1.0, 2.0, 3.0},
               (double[]){-1.739685457143728, 1.8640814180845093, 0.03366511526972318});
    check_flow(&arneodo, (double[]){1.0, 2.0, 3.0},
               (double[]){3.1500606257517463, 0.7130154525538106, -6.5573263131220685});
}

/* ---- segments ----------------------------------------------------------------------- */

static struct recipe segments_recipe(void)
{
    return (struct recipe){.kind = RECIPE_SEGMENTS,
                           .seed = 3,
                           .n_channels = N_CHANNELS,
                           .bin_width_us = 10000,
                           .trial_bins = N_BINS,
                           .n_train = 30,
                           .n_test = 10,
                           .segments = {.system = SYSTEM_ROSSLER,
                                        .parameters = {0.2, 0.2, 5.7},
                                        .start = {6.5, 0.5, 0.3},
                                        .period = 5.9,
                                        .bins_per_period = 35,
                                        .steps_per_bin = 20,
                                        .log_mean = -1.0,
                                        .log_sd = 0.5}};
}

/* State of a bin in the flow's own units. */
static void state_of(const struct trial_shape *s, const struct trial *trial, uint32_t bin,
                     double x[3])
{
    for (int i = 0; i < 3; i++)
        x[i] =
            s->latent_mean[i] + s->latent_scale[i] * (double)trial->latents[bin * 3 + (uint32_t)i];
}

/* Within a trial the state follows the flow, from bin to bin. */
static void check_orbit(const struct trial_shape *s, const struct trial *trial)
{
    const struct flow flow = {flow_rossler, {0.2, 0.2, 5.7}};
    double x[3], next[3];
    for (uint32_t bin = 0; bin + 1 < s->n_bins; bin++) {
        state_of(s, trial, bin, x);
        state_of(s, trial, bin + 1, next);
        for (int i = 0; i < 100; i++) flow_step(&flow, 5.9 / 35 / 100, x);
        for (int i = 0; i < 3; i++) assert_true(fabs(x[i] - next[i]) < 2e-4);
    }
}

/* Every piece of the orbit is one trial, and the next piece begins where it ends. */
static void test_segments_are_one_orbit(void **state)
{
    struct recipe recipe = segments_recipe();
    struct world *world = world_new(&recipe);
    const struct trial_shape *s = world_shape(world);
    struct trial trial;
    struct rng rng;
    double starts[N_SEGMENTS][3], ends[N_SEGMENTS][3];
    const struct flow flow = {flow_rossler, {0.2, 0.2, 5.7}};
    int n_linked = 0, n_in_order = 0;
    (void)state;
    assert_true(s->each_once);
    assert_int_equal(s->n_conditions, N_SEGMENTS);
    assert_int_equal(trial_new(&trial, s), 0);
    rng_init(&rng, 1, 0);
    for (uint32_t c = 0; c < N_SEGMENTS; c++) {
        world_trial_make(world, &rng, c, &trial);
        assert_int_equal(trial.condition, c);
        check_orbit(s, &trial);
        state_of(s, &trial, 0, starts[c]);
        state_of(s, &trial, N_BINS - 1, ends[c]);
        for (int i = 0; i < 100; i++) flow_step(&flow, 5.9 / 35 / 100, ends[c]);
    }
    for (uint32_t a = 0; a < N_SEGMENTS; a++)
        for (uint32_t b = 0; b < N_SEGMENTS; b++) {
            double d = 0.0;
            for (int i = 0; i < 3; i++) d = fmax(d, fabs(ends[a][i] - starts[b][i]));
            n_linked += d < 2e-4;
            n_in_order += d < 2e-4 && b == a + 1;
        }
    assert_int_equal(n_linked, N_SEGMENTS - 1);
    assert_true(n_in_order < N_SEGMENTS / 2);
    trial_free(&trial);
    world_free(world);
}

/* Over the whole orbit every log-rate has the recipe's mean and sd, and is a linear
 * function of the state. */
static void test_segments_log_rates(void **state)
{
    struct recipe recipe = segments_recipe();
    struct world *world = world_new(&recipe);
    struct trial trial;
    struct rng rng;
    double sum[N_CHANNELS] = {0.0}, squares[N_CHANNELS] = {0.0}, n = 0.0;
    (void)state;
    assert_int_equal(trial_new(&trial, world_shape(world)), 0);
    rng_init(&rng, 1, 0);
    for (uint32_t c = 0; c < N_SEGMENTS; c++) {
        world_trial_make(world, &rng, c, &trial);
        for (uint32_t k = 0; k < N_BINS * N_CHANNELS; k++) {
            double y = log((double)trial.counts[k]);
            sum[k % N_CHANNELS] += y;
            squares[k % N_CHANNELS] += y * y;
        }
        n += N_BINS;
    }
    for (int i = 0; i < N_CHANNELS; i++) {
        double mean = sum[i] / n;
        assert_true(fabs(mean + 1.0) < 1e-5);
        assert_true(fabs(sqrt(squares[i] / n - mean * mean) - 0.5) < 1e-5);
    }
    trial_free(&trial);
    world_free(world);
}

/* ---- the network -------------------------------------------------------------------- */

static struct recipe chaotic_recipe(void)
{
    return (struct recipe){.kind = RECIPE_CHAOTIC,
                           .seed = 3,
                           .n_channels = 3,
                           .bin_width_us = 10000,
                           .trial_bins = 12,
                           .n_train = 1,
                           .chaotic = {.n_conditions = 5,
                                       .gain = 1.5,
                                       .tau_ms = 25.0,
                                       .steps_per_bin = 1,
                                       .initial_sd = 1.0,
                                       .peak_rate_hz = 30.0}};
}

/* What the network added to unit i from bin to bin, in the weights' part of the
 * equation: W tanh(y) = y + tau / dt (y' - y). */
static double drive(const struct trial *trial, uint32_t bin, uint32_t i)
{
    double y = atanh((double)trial->latents[bin * 3 + i]);
    double next = atanh((double)trial->latents[(bin + 1) * 3 + i]);
    return y + 2.5 * (next - y);
}

/* Solves rows [3][3] w = right by Cramer's rule. */
static void solve3(double m[3][3], const double right[3], double w[3])
{
    double d[4];
    for (int k = 0; k < 4; k++) {
        double a[3][3];
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) a[i][j] = j == k - 1 ? right[i] : m[i][j];
        d[k] = a[0][0] * (a[1][1] * a[2][2] - a[1][2] * a[2][1]) -
               a[0][1] * (a[1][0] * a[2][2] - a[1][2] * a[2][0]) +
               a[0][2] * (a[1][0] * a[2][1] - a[1][1] * a[2][0]);
    }
    for (int k = 0; k < 3; k++) w[k] = d[k + 1] / d[0];
}

/* The weights that three bins imply explain all other bins and conditions: one
 * network, and Euler's method. Rates are 0 to 30 Hz. */
static void test_chaotic_network_obeys_its_equation(void **state)
{
    struct recipe recipe = chaotic_recipe();
    struct world *world = world_new(&recipe);
    struct trial trial;
    struct rng rng;
    double m[3][3], right[3], w[3];
    (void)state;
    assert_int_equal(trial_new(&trial, world_shape(world)), 0);
    rng_init(&rng, 1, 0);
    world_trial_make(world, &rng, 0, &trial);
    for (uint32_t bin = 0; bin < 3; bin++) {
        for (uint32_t j = 0; j < 3; j++) m[bin][j] = (double)trial.latents[bin * 3 + j];
        right[bin] = drive(&trial, bin, 1);
    }
    solve3(m, right, w);
    for (uint32_t c = 1; c < 5; c++) {
        world_trial_make(world, &rng, c, &trial);
        for (uint32_t bin = 0; bin < 11; bin++) {
            const float *r = trial.latents + bin * 3;
            double sum = w[0] * (double)r[0] + w[1] * (double)r[1] + w[2] * (double)r[2];
            assert_true(fabs(sum - drive(&trial, bin, 1)) < 2e-3);
            assert_true(fabs((double)trial.counts[bin * 3] - 0.15 * (1.0 + (double)r[0])) < 1e-6);
        }
    }
    trial_free(&trial);
    world_free(world);
}

/* ---- speech ------------------------------------------------------------------------- */

#define N_ARTICULATORS 3
#define SPEECH_BINS 200

static struct recipe speech_recipe(void)
{
    return (struct recipe){.kind = RECIPE_SPEECH,
                           .seed = 4,
                           .n_channels = 5,
                           .bin_width_us = 20000,
                           .trial_bins = SPEECH_BINS,
                           .n_train = 1,
                           .speech = {.n_phonemes = 6,
                                      .n_articulators = N_ARTICULATORS,
                                      .word_phonemes = {2, 4},
                                      .phoneme_ms = {100, 200},
                                      .pause_ms = {60, 120},
                                      .tau_ms = 40.0,
                                      .rest_rate_hz = {10, 30},
                                      .depth = 0.5}};
}

/* Silence at both ends, words of 2 to 4 phonemes between pauses, each as long as the recipe says,
 * none twice in succession. The last pause takes what is left. */
static void check_words(const float *said)
{
    uint32_t n_words = 0, n_phonemes = 0, n_held = 1;
    assert_int_equal((int)said[0], 7);
    assert_int_equal((int)said[SPEECH_BINS - 1], 7);
    for (uint32_t bin = 1; bin < SPEECH_BINS; bin++, n_held++) {
        int last = (int)said[bin - 1], now = (int)said[bin];
        assert_true(now >= 1 && now <= 7);
        if (now == last) continue;
        if (last == 7) {
            assert_true(n_held >= 3 && n_held <= 6);
        } else {
            assert_true(n_held >= 5 && n_held <= 10);
            n_phonemes++;
        }
        if (now == 7) {
            assert_true(n_phonemes >= 2 && n_phonemes <= 4);
            n_phonemes = 0;
            n_words++;
        }
        n_held = 0;
    }
    assert_true(n_words >= 3);
}

/* Each articulator goes the same share of its way to the phoneme's target in every bin: two bins
 * tell the target, and every other bin of that phoneme, in any trial, has it, too. */
static void check_articulators(const struct trial *trial, double targets[7][N_ARTICULATORS],
                               bool known[7])
{
    double share = 1.0 - exp(-20.0 / 40.0);
    for (uint32_t bin = 1; bin < SPEECH_BINS; bin++) {
        size_t said = (size_t)trial->readout[bin] - 1;
        const float *now = trial->latents + (size_t)bin * N_ARTICULATORS;
        for (size_t j = 0; j < N_ARTICULATORS; j++) {
            double before = (double)now[(ptrdiff_t)j - N_ARTICULATORS];
            double target = before + ((double)now[j] - before) / share;
            if (!known[said]) targets[said][j] = target;
            assert_true(fabs(target - targets[said][j]) < 1e-5);
        }
        known[said] = true;
    }
}

static void test_speech(void **state)
{
    struct recipe recipe = speech_recipe();
    struct world *world = world_new(&recipe);
    struct trial trial;
    struct rng rng;
    double targets[7][N_ARTICULATORS] = {{0}};
    bool known[7] = {false};
    known[6] = true; /* silence: at rest */
    (void)state;
    assert_int_equal(trial_new(&trial, world_shape(world)), 0);
    rng_init(&rng, 1, 0);
    for (int k = 0; k < 20; k++) {
        world_trial_make(world, &rng, TRIAL_ANY_CONDITION, &trial);
        check_words(trial.readout);
        check_articulators(&trial, targets, known);
        for (uint32_t i = 0; i < 5; i++) {
            double hz = (double)trial.counts[i] / 0.02; /* the first bin is at rest */
            assert_true(hz > 9.999 && hz < 30.001);
        }
    }
    for (int p = 0; p < 7; p++) assert_true(known[p]);
    for (int p = 0; p < 6; p++) assert_true(fabs(targets[p][0]) > 1e-3);
    trial_free(&trial);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows_against_scipy),
        cmocka_unit_test(test_segments_are_one_orbit),
        cmocka_unit_test(test_segments_log_rates),
        cmocka_unit_test(test_chaotic_network_obeys_its_equation),
        cmocka_unit_test(test_speech),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
