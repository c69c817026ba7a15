/* Histograms: exact where they say so, never better than the truth, never more than
 * 1/32 off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "line/histogram.h"

static struct histogram *histogram_new(void)
{
    struct histogram *h = calloc(1, sizeof *h);
    assert_non_null(h);
    return h;
}

static struct histogram_summary read_all(struct histogram *h)
{
    struct histogram_summary s;
    histogram_read(h, &s);
    return s;
}

static void test_empty(void **state)
{
    struct histogram *h = histogram_new();
    struct histogram_summary s = read_all(h);
    (void)state;
    assert_int_equal(s.n, 0);
    assert_int_equal(s.p50_ns, 0);
    assert_int_equal(s.max_ns, 0);
    free(h);
}

static void test_small_values_are_exact(void **state)
{
    struct histogram *h = histogram_new();
    struct histogram_summary s;
    (void)state;
    for (uint64_t ns = 1; ns <= 50; ns++) histogram_add(h, ns);
    s = read_all(h);
    assert_int_equal(s.n, 50);
    assert_int_equal(s.p50_ns, 25);
    assert_int_equal(s.p99_ns, 50); /* rank 49.5 is the 50th value */
    assert_int_equal(s.max_ns, 50);
    free(h);
}

/* Of 1 .. 10,000 us in ns, the per_mille-th value is known. */
static void check_within(uint64_t found, uint64_t truth)
{
    assert_true(found >= truth);
    assert_true(found <= truth + truth / 32);
}

static void test_percentiles(void **state)
{
    struct histogram *h = histogram_new();
    struct histogram_summary s;
    (void)state;
    for (uint64_t i = 0; i < 10000; i++) histogram_add(h, (i * 7919 % 10000 + 1) * 1000);
    s = read_all(h);
    assert_int_equal(s.n, 10000);
    check_within(s.p50_ns, 5000000);
    check_within(s.p99_ns, 9900000);
    check_within(s.p999_ns, 9990000);
    assert_int_equal(s.max_ns, 10000000);
    free(h);
}

/* One value alone is every percentile, whatever its size. */
static void test_every_size(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 40; bit++) {
        for (int64_t off = -1; off <= 1; off++) {
            struct histogram *h = histogram_new();
            uint64_t ns = (1ull << bit) + (uint64_t)off;
            struct histogram_summary s;
            if (ns > HISTOGRAM_MAX_NS) ns = HISTOGRAM_MAX_NS;
            histogram_add(h, ns);
            s = read_all(h);
            assert_int_equal(s.p50_ns, ns);
            assert_int_equal(s.p999_ns, ns);
            free(h);
        }
    }
}

/* What came after a copy, whatever was before. */
static void test_since(void **state)
{
    struct histogram *h = histogram_new();
    struct histogram_copy before;
    struct histogram_summary s;
    (void)state;
    for (uint64_t i = 1; i <= 1000; i++) histogram_add(h, i * 1000000);
    histogram_copy(h, &before);
    histogram_read_since(h, &before, &s);
    assert_int_equal(s.n, 0);
    assert_int_equal(s.max_ns, 0);
    for (uint64_t i = 1; i <= 100; i++) histogram_add(h, i * 1000);
    histogram_read_since(h, &before, &s);
    assert_int_equal(s.n, 100);
    check_within(s.p50_ns, 50000);
    check_within(s.p99_ns, 99000);
    check_within(s.max_ns, 100000);
    free(h);
}

static void test_too_large_is_kept(void **state)
{
    struct histogram *h = histogram_new();
    (void)state;
    histogram_add(h, UINT64_MAX);
    assert_int_equal(read_all(h).n, 1);
    assert_int_equal(read_all(h).max_ns, HISTOGRAM_MAX_NS);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),       cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_percentiles), cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_since),       cmocka_unit_test(test_too_large_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
