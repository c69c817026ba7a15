/* RMS difference and correlation of a window, against sums over the same bins done anew. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shadow/agreement.h"

enum { WINDOW = 100, N_READOUT = 2, N_BINS = 1000 };

static float ours(int bin, int readout)
{
    return sinf(0.13f * (float)bin) * 40.0f + (readout ? 1000.0f : 0.0f);
}

static float theirs(int bin, int readout)
{
    return ours(bin, readout) * (readout ? -0.5f : 0.9f) + cosf(0.7f * (float)bin);
}

static void add(struct agreement *a, int bin)
{
    const float x[N_READOUT] = {ours(bin, 0), ours(bin, 1)};
    const float y[N_READOUT] = {theirs(bin, 0), theirs(bin, 1)};

    agreement_add(a, x, y);
}

/* Two passes over bins [from, to). */
static void assert_over(const struct agreement *a, int readout, int from, int to)
{
    double n = to - from, mx = 0, my = 0, vx = 0, vy = 0, xy = 0, dd = 0;
    struct agreement_summary s;

    for (int i = from; i < to; i++) {
        mx += (double)ours(i, readout) / n;
        my += (double)theirs(i, readout) / n;
    }
    for (int i = from; i < to; i++) {
        double x = (double)ours(i, readout), y = (double)theirs(i, readout);

        vx += (x - mx) * (x - mx);
        vy += (y - my) * (y - my);
        xy += (x - mx) * (y - my);
        dd += (x - y) * (x - y);
    }
    agreement_read(a, (uint32_t)readout, &s);
    assert_int_equal(s.n, (uint64_t)n);
    assert_true(fabs(s.rms - sqrt(dd / n)) < 1e-9 * sqrt(dd / n));
    assert_true(fabs(s.correlation - xy / sqrt(vx * vy)) < 1e-9);
}

/* The window holds the part that is being filled and the nine before it. */
static void test_window(void **state)
{
    struct agreement *a = agreement_new(WINDOW, N_READOUT);
    (void)state;
    assert_non_null(a);
    for (int i = 0; i < N_BINS; i++) {
        int part = i / (WINDOW / 10), from = part < 9 ? 0 : (part - 9) * (WINDOW / 10);

        add(a, i);
        if (i < 3) continue;
        assert_over(a, 0, from, i + 1);
        assert_over(a, 1, from, i + 1);
    }
    agreement_free(a);
}

static void test_nothing_to_compare(void **state)
{
    struct agreement *a = agreement_new(WINDOW, N_READOUT);
    struct agreement_summary s;
    (void)state;
    for (int i = 0; i < WINDOW; i++) add(a, i);
    for (int i = 0; i < 2 * WINDOW; i++) agreement_add(a, NULL, NULL);
    agreement_read(a, 0, &s);
    assert_int_equal(s.n, 0);
    assert_true(isnan(s.correlation));
    add(a, 7);
    agreement_clear(a);
    agreement_read(a, 1, &s);
    assert_int_equal(s.n, 0);
    agreement_free(a);
}

/* What never changes correlates with nothing, however large it is. */
static void test_constant(void **state)
{
    struct agreement *a = agreement_new(WINDOW, 1);
    struct agreement_summary s;
    (void)state;
    for (int i = 0; i < WINDOW; i++) {
        const float x = 123456.7f, y = (float)i;

        agreement_add(a, &x, &y);
    }
    agreement_read(a, 0, &s);
    assert_int_equal(s.n, WINDOW);
    assert_true(isnan(s.correlation));
    assert_true(s.rms > 123000.0);
    agreement_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_nothing_to_compare),
        cmocka_unit_test(test_constant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
