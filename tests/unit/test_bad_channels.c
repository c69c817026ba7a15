/* When a channel is called dead, noisy and good again: each rule at its limit, against times worked
 * out by hand from the averages' own law. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "health/bad_channels.h"

enum { N = 8, BIN_US = 100000 };
#define BIN_S 0.1
#define TAU_S 30.0

static const float mean_of[N] = {2, 2, 2, 2, 2, 2, 2, 2};
static const float variance_of[N] = {4, 4, 4, 4, 4, 4, 4, 4};

static struct latent_info counts_info(const float *mean, const float *variance)
{
    return (struct latent_info){.n_channels = N,
                                .bin_width_us = BIN_US,
                                .input = LATENT_INPUT_COUNTS,
                                .channel_mean = mean,
                                .channel_variance = variance};
}

static struct latent_info real_info(void)
{
    struct latent_info info = counts_info(mean_of, variance_of);

    info.input = LATENT_INPUT_REAL;
    return info;
}

/* Bins in which channel 0 has value(bin), the others 0 and 4 by turns: mean 2, variance 4. */
typedef float value_fn(int bin);

static void add(struct bad_channels *b, value_fn *value, int bin)
{
    float counts[N];

    for (int c = 0; c < N; c++) counts[c] = (bin + c) % 2 ? 4.0f : 0.0f;
    if (value) counts[0] = value(bin);
    bad_channels_add(b, counts);
}

/* Seconds until channel 0 has this verdict; -1: not within most_s. */
static double time_to(struct bad_channels *b, enum bad_channels_verdict verdict, value_fn *value,
                      double most_s)
{
    for (int bin = 1; bin * BIN_S <= most_s; bin++) {
        add(b, value, bin);
        for (uint32_t c = 1; c < N; c++) assert_int_equal(bad_channels_verdict(b, c), CHANNEL_GOOD);
        if (bad_channels_verdict(b, 0) == verdict) return bin * BIN_S;
    }
    return -1.0;
}

static float none(int bin)
{
    (void)bin;
    return 0.0f;
}

static float fourteenfold(int bin)
{
    (void)bin;
    return 28.0f;
}

static float threefold(int bin)
{
    return bin % 2 ? 8.0f : 4.0f;
}

/* Mean 2 still, in clumps. */
static float clumps(int bin)
{
    return bin % 16 == 0 ? 32.0f : 0.0f;
}

static float rare_and_huge(int bin)
{
    return bin % 200 == 0 ? 10000.0f : (bin % 2 ? 4.0f : 0.0f);
}

/* ---- counts ---- */

/* Below a twentieth after tau ln 20, then 20 s. */
static void test_dead_counts(void **state)
{
    const struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b = bad_channels_new(&info);
    double at_s = time_to(b, CHANNEL_DEAD, none, 1000);

    (void)state;
    assert_true(fabs(at_s - (TAU_S * log(20) + 20)) <= 2 * BIN_S);
    bad_channels_free(b);
}

/* A fifth of 5 per second takes longer: 100 counts at its 1 per second. */
static void test_dead_counts_that_were_few(void **state)
{
    const float few[N] = {0.1f, 2, 2, 2, 2, 2, 2, 2};
    const struct latent_info info = counts_info(few, variance_of);
    struct bad_channels *b = bad_channels_new(&info);
    double at_s = time_to(b, CHANNEL_DEAD, none, 1000);

    (void)state;
    assert_true(fabs(at_s - (TAU_S * log(20) + 100)) <= 2 * BIN_S);
    bad_channels_free(b);
}

/* Less than 0.5 per second in training: its silence says nothing. */
static void test_too_few_to_be_dead(void **state)
{
    const float few[N] = {0.049f, 2, 2, 2, 2, 2, 2, 2};
    const struct latent_info info = counts_info(few, variance_of);
    struct bad_channels *b = bad_channels_new(&info);

    (void)state;
    assert_true(time_to(b, CHANNEL_DEAD, none, 3000) < 0);
    bad_channels_free(b);
}

/* M = 2 + 26 (1 - exp(-t / tau)) > 10, then 5 s. */
static void test_noisy_counts(void **state)
{
    const struct latent_info info = counts_info(mean_of, NULL);
    struct bad_channels *b = bad_channels_new(&info);
    double at_s = time_to(b, CHANNEL_NOISY, fourteenfold, 1000);

    (void)state;
    assert_true(fabs(at_s - (-TAU_S * log(1 - 8.0 / 26) + 5)) <= 2 * BIN_S);
    assert_true(time_to(b, CHANNEL_GOOD, NULL, 1000) > 60);
    bad_channels_free(b);
}

static void test_three_times_is_not_noisy(void **state)
{
    const struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b = bad_channels_new(&info);

    (void)state;
    assert_true(time_to(b, CHANNEL_NOISY, threefold, 3000) < 0);
    bad_channels_free(b);
}

/* The rate is as ever; only a file with variances tells. */
static void test_clumps(void **state)
{
    struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b = bad_channels_new(&info);

    (void)state;
    assert_true(time_to(b, CHANNEL_NOISY, clumps, 1000) > 5);
    bad_channels_free(b);
    info.channel_variance = NULL;
    b = bad_channels_new(&info);
    assert_true(time_to(b, CHANNEL_NOISY, clumps, 1000) < 0);
    bad_channels_free(b);
}

/* One bin in 200 that is far out counts as 20 sd: a variance of 4 + 1600 / 200. */
static void test_far_values_are_held(void **state)
{
    const struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b = bad_channels_new(&info);
    struct bad_channels_summary s;

    (void)state;
    assert_true(time_to(b, CHANNEL_NOISY, rare_and_huge, 2000) < 0);
    bad_channels_read(b, 0, &s);
    assert_true(s.variance > 6 && s.variance < 24);
    bad_channels_free(b);
}

/* A channel of nothing in training that wakes: noisy above 5 times half a count per second. */
static void test_silent_in_training(void **state)
{
    const float silent[N] = {0, 2, 2, 2, 2, 2, 2, 2}, still[N] = {0, 4, 4, 4, 4, 4, 4, 4};
    const struct latent_info info = counts_info(silent, still);
    struct bad_channels *b = bad_channels_new(&info);

    (void)state;
    assert_true(time_to(b, CHANNEL_NOISY, threefold, 1000) > 0);
    bad_channels_free(b);
}

/* ---- good again ---- */

/* Inside half the limits, M > 0.2, after -tau ln(1 - ...) s, and then 60 s. */
static void test_good_again(void **state)
{
    const struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b = bad_channels_new(&info);
    double at_s, silent_s = time_to(b, CHANNEL_DEAD, none, 1000), low = 2 * exp(-silent_s / TAU_S);

    (void)state;
    at_s = time_to(b, CHANNEL_GOOD, NULL, 1000);
    assert_true(fabs(at_s - (-TAU_S * log((2 - 0.2) / (2 - low)) + 60)) <= 1.0);
    bad_channels_free(b);
}

static float between_limit_and_half(int bin)
{
    return bin % 40 < 3 ? 2.0f : 0.0f; /* 0.15: above a twentieth, below a tenth */
}

static void test_between_is_still_dead(void **state)
{
    const struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b = bad_channels_new(&info);

    (void)state;
    time_to(b, CHANNEL_DEAD, none, 1000);
    assert_true(time_to(b, CHANNEL_GOOD, between_limit_and_half, 3000) < 0);
    bad_channels_free(b);
}

/* ---- real ---- */

static float stuck(int bin)
{
    (void)bin;
    return 2.0f;
}

static float loud(int bin)
{
    return bin % 2 ? 22.0f : -18.0f; /* variance 400 */
}

static void test_real(void **state)
{
    const struct latent_info info = real_info();
    struct bad_channels *b = bad_channels_new(&info);
    double at_s = time_to(b, CHANNEL_DEAD, stuck, 1000);

    (void)state;
    assert_true(fabs(at_s - (TAU_S * log(100) + 20)) <= 1.0);
    bad_channels_free(b);
    b = bad_channels_new(&info);
    at_s = time_to(b, CHANNEL_NOISY, loud, 1000);
    assert_true(fabs(at_s - (-TAU_S * log(1 - 36.0 / 396) + 30)) <= 1.0);
    bad_channels_free(b);
}

/* A mean elsewhere is nothing that latentd can call bad. */
static float elsewhere(int bin)
{
    return 100.0f + (bin % 2 ? 4.0f : 0.0f);
}

static void test_real_that_moved(void **state)
{
    const struct latent_info info = real_info();
    struct bad_channels *b = bad_channels_new(&info);

    (void)state;
    for (int bin = 0; bin < 6000; bin++) add(b, elsewhere, bin);
    assert_int_equal(bad_channels_verdict(b, 0), CHANNEL_GOOD);
    bad_channels_free(b);
}

/* ---- artefacts ---- */

static void add_artefact(struct bad_channels *b, int n_channels)
{
    float counts[N];

    for (int c = 0; c < N; c++) counts[c] = c < n_channels ? 200.0f : 0.0f;
    bad_channels_add(b, counts);
}

static void test_artefacts_change_nothing(void **state)
{
    const struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b = bad_channels_new(&info), *without = bad_channels_new(&info);
    struct bad_channels_summary with, same;

    (void)state;
    for (int bin = 0; bin < 6000; bin++) {
        add(b, NULL, bin);
        add(without, NULL, bin);
        if (bin % 20 == 0) add_artefact(b, 5);
        if (bin % 20 == 5) bad_channels_leave_out(b);
    }
    for (uint32_t c = 0; c < N; c++) {
        bad_channels_read(b, c, &with);
        bad_channels_read(without, c, &same);
        assert_int_equal(with.verdict, CHANNEL_GOOD);
        assert_true(with.mean == same.mean && with.variance == same.variance);
        assert_true(with.zeros == same.zeros && with.saturated == same.saturated);
    }
    assert_int_equal(bad_channels_artefacts(b), 600);
    assert_int_equal(bad_channels_bins(b), 6600);
    bad_channels_free(b);
    bad_channels_free(without);
}

/* Half of the channels is no artefact; and what always is like that, is not one either. */
static void test_no_artefacts(void **state)
{
    const struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b = bad_channels_new(&info);

    (void)state;
    for (int i = 0; i < 100; i++) add_artefact(b, 4);
    assert_int_equal(bad_channels_artefacts(b), 0);
    bad_channels_free(b);
    b = bad_channels_new(&info);
    for (int i = 0; i < 600; i++) add_artefact(b, N);
    assert_true(bad_channels_artefacts(b) < 40);
    for (uint32_t c = 0; c < N; c++) assert_int_equal(bad_channels_verdict(b, c), CHANNEL_NOISY);
    bad_channels_free(b);
}

/* ---- what it goes by ---- */

static void test_basis(void **state)
{
    struct latent_info info = counts_info(mean_of, variance_of);
    const char *why = NULL;

    (void)state;
    assert_string_equal(bad_channels_basis(&info, &why), "rate and variance");
    info.channel_variance = NULL;
    assert_string_equal(bad_channels_basis(&info, &why), "rate alone");
    info.channel_mean = NULL;
    assert_null(bad_channels_basis(&info, &why));
    assert_string_equal(why, "the model file holds no training mean");
    info = real_info();
    assert_string_equal(bad_channels_basis(&info, &why), "variance");
    info.channel_variance = NULL;
    assert_null(bad_channels_basis(&info, &why));
    assert_string_equal(why, "the model file holds no training mean and variance");
}

/* With other training a channel is judged anew, its averages stay. */
static void test_another_model(void **state)
{
    const float high[N] = {100, 2, 2, 2, 2, 2, 2, 2};
    const struct latent_info first = counts_info(mean_of, variance_of),
                             second = counts_info(high, variance_of);
    struct bad_channels *b = bad_channels_new(&first);
    struct bad_channels_summary s;
    double at_s;

    (void)state;
    for (int bin = 0; bin < 1000; bin++) add(b, NULL, bin);
    bad_channels_train(b, &second);
    bad_channels_read(b, 0, &s);
    assert_true(fabs(s.mean - 2) < 0.1 && fabs(s.z + 49) < 0.1);
    at_s = time_to(b, CHANNEL_DEAD, NULL, 1000);
    assert_true(fabs(at_s - 20) <= 2 * BIN_S);
    bad_channels_free(b);
}

static float half_clipped(int bin)
{
    return bin % 4 == 0 ? 5.0f : (bin % 4 == 1 ? 3.0f : 0.0f);
}

static void test_shares(void **state)
{
    const float clip[N] = {5, 99, 99, 99, 99, 99, 99, 99};
    struct latent_info info = counts_info(mean_of, variance_of);
    struct bad_channels *b;
    struct bad_channels_summary s;

    (void)state;
    info.channel_clip = clip;
    b = bad_channels_new(&info);
    for (int bin = 0; bin < 6000; bin++) add(b, half_clipped, bin);
    bad_channels_read(b, 0, &s);
    assert_true(fabs(s.zeros - 0.5) < 0.01 && fabs(s.saturated - 0.25) < 0.01);
    bad_channels_read(b, 1, &s);
    assert_true(fabs(s.z) < 0.01 && fabs(s.variance_ratio - 1) < 0.1 && s.saturated == 0);
    bad_channels_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_counts),
        cmocka_unit_test(test_dead_counts_that_were_few),
        cmocka_unit_test(test_too_few_to_be_dead),
        cmocka_unit_test(test_noisy_counts),
        cmocka_unit_test(test_three_times_is_not_noisy),
        cmocka_unit_test(test_clumps),
        cmocka_unit_test(test_far_values_are_held),
        cmocka_unit_test(test_silent_in_training),
        cmocka_unit_test(test_good_again),
        cmocka_unit_test(test_between_is_still_dead),
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_real_that_moved),
        cmocka_unit_test(test_artefacts_change_nothing),
        cmocka_unit_test(test_no_artefacts),
        cmocka_unit_test(test_basis),
        cmocka_unit_test(test_another_model),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
