/* The age that a bin must have when it arrives, by the pace of its source alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "line/pace.h"

#define MS ((uint64_t)1000000)

enum { N = 10, BIN_MS = 20, SOME = 40 };

/* Bin seq arrives so late after the time of its number; -> its age in ms. */
static uint64_t arrives(struct pace *p, uint64_t seq, uint64_t late_ns)
{
    return pace_on_bin(p, seq, 1000 * MS + seq * BIN_MS * MS + late_ns, BIN_MS * MS, N) / MS;
}

static void start(struct pace *p, uint64_t first, uint64_t late_ns)
{
    pace_init(p);
    for (uint64_t i = 0; i < SOME; i++) assert_int_equal(arrives(p, first + i, late_ns), 0);
}

/* From here on all bins come by a pause later: the source made none for as long, and goes on with
 * the next number; or the network is as much slower. They cannot be told apart, so the bins are old
 * until as many as the pace is taken from have come late: then that is the pace. */
static void test_pause(void **state)
{
    (void)state;
    for (uint64_t pause_ms = 1; pause_ms < 200; pause_ms += 33) {
        struct pace p;

        start(&p, 0, 0);
        for (uint64_t i = 0; i < N - 1; i++)
            assert_int_equal(arrives(&p, SOME + i, pause_ms * MS), pause_ms);
        for (uint64_t i = N - 1; i < SOME; i++)
            assert_int_equal(arrives(&p, SOME + i, pause_ms * MS), 0);
    }
}

/* A source that leaves out the numbers of what it did not make is not late. */
static void test_pause_with_its_numbers(void **state)
{
    struct pace p;
    (void)state;
    start(&p, 0, 0);
    for (uint64_t i = 0; i < SOME; i++) assert_int_equal(arrives(&p, SOME + 8 + i, 0), 0);
}

/* Held back and let go at once: each is as old as it waited, and what comes after them is not. */
static void test_backlog(void **state)
{
    struct pace p;
    (void)state;
    for (uint64_t n_held = 1; n_held < 100; n_held += 14) {
        start(&p, 0, 0);
        for (uint64_t i = 0; i < n_held; i++)
            assert_int_equal(arrives(&p, SOME + i, (n_held - i) * BIN_MS * MS),
                             (n_held - i) * BIN_MS);
        for (uint64_t i = 0; i < SOME; i++) assert_int_equal(arrives(&p, SOME + n_held + i, 0), 0);
    }
}

/* A clock that runs off by a thousandth: never further behind than the bins of the pace bring. */
static void test_drift(void **state)
{
    struct pace p;
    uint64_t bin_ns = BIN_MS * MS, late_ns = bin_ns / 1000;
    (void)state;
    start(&p, 0, 0);
    for (uint64_t i = 0; i < 10000; i++)
        assert_true(pace_on_bin(&p, SOME + i, 1000 * MS + (SOME + i) * bin_ns + i * late_ns, bin_ns,
                                N) <= N * late_ns);
    start(&p, 0, 10000 * late_ns);
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(arrives(&p, SOME + i, (10000 - i) * late_ns), 0);
}

/* Numbers wrap with the times that are reckoned from them. */
static void test_wrap(void **state)
{
    struct pace p;
    (void)state;
    start(&p, UINT64_MAX / (BIN_MS * MS) - SOME / 2, 0);
    start(&p, UINT64_MAX - SOME - 3, 0);
    assert_int_equal(arrives(&p, UINT64_MAX - 3, 5 * MS), 5);
}

/* Few or many bins: within the bounds. */
static void test_bounds(void **state)
{
    const uint32_t asked[] = {0, 1, PACE_LEAST_BINS, PACE_MOST_BINS, 1000};
    const uint32_t taken[] = {PACE_LEAST_BINS, PACE_LEAST_BINS, PACE_LEAST_BINS, PACE_MOST_BINS,
                              PACE_MOST_BINS};
    (void)state;
    for (size_t k = 0; k < sizeof asked / sizeof asked[0]; k++) {
        struct pace p;

        pace_init(&p);
        for (uint64_t i = 0; i < 200; i++) {
            uint64_t late_ns = i < 100 ? 0 : 50 * MS;
            uint64_t age = pace_on_bin(&p, i, i * BIN_MS * MS + late_ns, BIN_MS * MS, asked[k]);

            assert_int_equal(age, i >= 100 && i < 100 + taken[k] - 1 ? 50 * MS : 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause),   cmocka_unit_test(test_pause_with_its_numbers),
        cmocka_unit_test(test_backlog), cmocka_unit_test(test_drift),
        cmocka_unit_test(test_wrap),    cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
