/* Random numbers: the generator's exact outputs, and the distributions within 5 sigma.
 *
 * The expected outputs come from a few lines of Python that know xoshiro256++ and
 * splitmix64; the jump by 2^128 from squaring the 256 x 256 transition matrix over
 * GF(2) 128 times, not from the jump polynomial. Seeds are fixed: a test passes or
 * fails for good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "latent-sim/rng.h"

#define SEED 20240229u
#define N_DRAWS 200000
#define N_SIGMA 5.0

static void test_generator(void **state)
{
    static const uint64_t expected[] = {
        41943041u,           58720359u, 3588806011781223u, 3591011842654386u, 9228616714210784205u,
        9973669472204895162u};
    struct rng rng = {.state = {1, 2, 3, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(rng_next(&rng) == expected[i]);
}

static void test_seeding(void **state)
{
    struct rng rng;
    (void)state;
    rng_init(&rng, 0, 0);
    assert_true(rng_next(&rng) == 0x53175d61490b23dfu);
    assert_true(rng_next(&rng) == 0x61da6f3dc380d507u);
    rng_init(&rng, SEED, 0);
    assert_true(rng_next(&rng) == 0x4617470a69696092u);
    assert_true(rng_next(&rng) == 0xcc0268195e4ce87du);
    rng_init(&rng, SEED, 0);
    assert_true(rng_uniform(&rng) == 0.2737926865023943);
    assert_true(rng_uniform(&rng) == 0.7969117223677135);
}

static void test_streams_are_a_jump_apart(void **state)
{
    struct rng rng;
    (void)state;
    rng_init(&rng, SEED, 1);
    assert_true(rng_next(&rng) == 0xaa4fd9342a48f6a5u);
    assert_true(rng_next(&rng) == 0xf4b73070d8c55477u);
    assert_true(rng_next(&rng) == 0x05bbf772050b6129u);
}

/* Sample moments of n draws. */
struct moments {
    double mean, variance;
};

static struct moments moments_of(double (*draw)(struct rng *, double), double parameter)
{
    struct rng rng;
    double sum = 0.0, squares = 0.0;
    rng_init(&rng, SEED, 3);
    for (int i = 0; i < N_DRAWS; i++) {
        double x = draw(&rng, parameter);
        sum += x;
        squares += x * x;
    }
    double mean = sum / N_DRAWS;
    return (struct moments){mean, squares / N_DRAWS - mean * mean};
}

/* fourth: the fourth central moment, which sets the spread of a sample variance. */
static void check_moments(struct moments found, double mean, double variance, double fourth)
{
    double mean_sd = sqrt(variance / N_DRAWS);
    double variance_sd = sqrt((fourth - variance * variance) / N_DRAWS);
    assert_true(fabs(found.mean - mean) < N_SIGMA * mean_sd);
    assert_true(fabs(found.variance - variance) < N_SIGMA * variance_sd);
}

static double uniform_draw(struct rng *rng, double unused)
{
    (void)unused;
    double u = rng_uniform(rng);
    assert_true(u >= 0.0 && u < 1.0);
    return u;
}

static double normal_draw(struct rng *rng, double unused)
{
    (void)unused;
    return rng_normal(rng);
}

static double poisson_draw(struct rng *rng, double mean)
{
    return rng_poisson(rng, mean);
}

static void test_uniform(void **state)
{
    (void)state;
    check_moments(moments_of(uniform_draw, 0.0), 0.5, 1.0 / 12.0, 1.0 / 80.0);
}

static void test_normal(void **state)
{
    struct rng rng;
    int beyond[3] = {0, 0, 0};
    (void)state;
    check_moments(moments_of(normal_draw, 0.0), 0.0, 1.0, 3.0);
    rng_init(&rng, SEED, 2);
    for (int i = 0; i < N_DRAWS; i++) {
        double x = rng_normal(&rng);
        for (int k = 0; k < 3; k++) beyond[k] += x > k;
    }
    for (int k = 0; k < 3; k++) {
        double p = 0.5 * erfc(k / sqrt(2.0));
        assert_true(fabs(beyond[k] - p * N_DRAWS) < N_SIGMA * sqrt(p * (1.0 - p) * N_DRAWS));
    }
}

static void test_below(void **state)
{
    struct rng rng;
    int counts[7] = {0};
    double chi = 0.0, expected = N_DRAWS / 7.0;
    (void)state;
    rng_init(&rng, SEED, 0);
    for (int i = 0; i < N_DRAWS; i++) {
        uint32_t k = rng_below(&rng, 7);
        assert_true(k < 7);
        counts[k]++;
    }
    for (int k = 0; k < 7; k++) chi += (counts[k] - expected) * (counts[k] - expected) / expected;
    assert_true(chi < 6.0 + N_SIGMA * sqrt(12.0)); /* 6 degrees of freedom */
    assert_int_equal(rng_below(&rng, 1), 0);
}

/* Below and above the change of method, at it, and far from it. */
static const double poisson_means[] = {0.001, 0.049, 0.49, 3.0, 9.99, 10.0, 30.0, 200., 12345.6};
#define N_MEANS (sizeof poisson_means / sizeof poisson_means[0])

static void test_poisson_moments(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MEANS; i++) {
        double mean = poisson_means[i];
        check_moments(moments_of(poisson_draw, mean), mean, mean, mean + 3.0 * mean * mean);
    }
}

/* Pearson's statistic over the counts expected at least 20 times, the rest as one. */
static void check_poisson_shape(double mean)
{
    enum { N_COUNTS = 400 };
    static int counts[N_COUNTS];
    struct rng rng;
    double chi = 0.0, rest = N_DRAWS, rest_expected = N_DRAWS;
    int n_classes = 0;
    rng_init(&rng, SEED, 1);
    for (int k = 0; k < N_COUNTS; k++) counts[k] = 0;
    for (int i = 0; i < N_DRAWS; i++) counts[rng_poisson(&rng, mean) % N_COUNTS]++;
    for (int k = 0; k < N_COUNTS; k++) {
        double expected = N_DRAWS * exp(k * log(mean) - mean - lgamma(k + 1.0));
        if (expected < 20.0) continue;
        chi += (counts[k] - expected) * (counts[k] - expected) / expected;
        rest -= counts[k];
        rest_expected -= expected;
        n_classes++;
    }
    if (rest_expected > 1.0) chi += (rest - rest_expected) * (rest - rest_expected) / rest_expected;
    assert_true(n_classes >= 2);
    assert_true(chi < n_classes + N_SIGMA * sqrt(2.0 * n_classes));
}

static void test_poisson_shape(void **state)
{
    static const double means[] = {0.049, 0.49, 3.0, 9.99, 10.0, 11.5, 30.0, 200.0};
    (void)state;
    for (size_t i = 0; i < sizeof means / sizeof means[0]; i++) check_poisson_shape(means[i]);
}

static void test_poisson_of_nothing(void **state)
{
    struct rng rng;
    (void)state;
    rng_init(&rng, SEED, 0);
    for (int i = 0; i < 1000; i++) assert_int_equal(rng_poisson(&rng, 0.0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generator),
        cmocka_unit_test(test_seeding),
        cmocka_unit_test(test_streams_are_a_jump_apart),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_poisson_moments),
        cmocka_unit_test(test_poisson_shape),
        cmocka_unit_test(test_poisson_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
