/* Kernels of recurrent models, and of what every bin and frame goes through, in every
 * instruction set this machine has, against naive twins in float64. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

#define GUARD 42.0f

/* n numbers between -1/2 and 1/2, and a guard behind them. */
static float *random_floats(size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    x[n] = GUARD;
    return x;
}

static double naive_sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void assert_near(const float *found, const double *expected, size_t n, double most)
{
    for (size_t i = 0; i < n; i++) assert_true(fabs((double)found[i] - expected[i]) < most);
}

/* ---- GRU ---- */

struct gru {
    struct arena arena;
    struct panels u;
    size_t n, cols;
    float *weight, *bias, *h, *given;
};

static struct gru gru_new(enum precision precision, size_t n, size_t cols)
{
    struct gru g = {.n = n, .cols = cols};
    assert_int_equal(arena_new(&g.arena, (6 * n + 32) * (cols + 2) * 4 + 8192), 0);
    g.weight = random_floats(3 * n * cols);
    g.bias = random_floats(3 * n);
    g.h = random_floats(n);
    g.given = random_floats(3 * n);
    g.u = panels_pack_as(&g.arena, precision, 3 * n, cols, g.weight, g.bias);
    return g;
}

static void gru_free(struct gru *g)
{
    free(g->weight), free(g->bias), free(g->h), free(g->given);
    arena_free(&g->arena);
}

static void naive_gru_step(double *next, const struct gru *g)
{
    size_t n = g->n;
    for (size_t o = 0; o < n; o++) {
        double back[3];
        for (size_t k = 0; k < 3; k++) {
            back[k] = (double)g->bias[k * n + o];
            for (size_t c = 0; c < g->cols; c++)
                back[k] += (double)g->weight[(k * n + o) * g->cols + c] * (double)g->h[c];
        }
        double r = naive_sigmoid((double)g->given[o] + back[0]);
        double z = naive_sigmoid((double)g->given[n + o] + back[1]);
        double new = tanh((double)g->given[2 * n + o] + r * back[2]);
        next[o] = (1.0 - z) * new + z *(double)g->h[o];
    }
}

static void check_gru_step(const struct kernels *k, enum precision precision, size_t n, size_t cols)
{
    static const double most[N_PRECISIONS] = {2e-6, 0.02, 0.05};
    struct gru g = gru_new(precision, n, cols);
    float *next = random_floats(n), *again = random_floats(n);
    float *scratch = random_floats(3 * n);
    double *expected = calloc(n, sizeof *expected);
    naive_gru_step(expected, &g);
    k->gru_step(next, &g.u, g.h, g.given, false, scratch);
    assert_near(next, expected, n, most[precision]);
    assert_true(next[n] == GUARD && scratch[3 * n] == GUARD);
    k->gru_step(again, &g.u, g.h, g.given, true, scratch);
    assert_memory_equal(next, again, n * sizeof *next);
    free(next), free(again), free(scratch), free(expected);
    gru_free(&g);
}

static void test_gru_step(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++)
        for (int p = 0; p < N_PRECISIONS; p++)
            for (size_t n = 16; n <= 144; n += 16) {
                check_gru_step(kernels_at(i), (enum precision)p, n, n);
                check_gru_step(kernels_at(i), (enum precision)p, n, n - 15);
                check_gru_step(kernels_at(i), (enum precision)p, n, n - 6);
            }
}

/* What fills up the state stays zero, whatever the rest of it. */
static void test_gru_padding(void **state)
{
    (void)state;
    enum { N = 16, HIDDEN = 10 };
    float next[N], scratch[3 * N];
    struct gru g = gru_new(PRECISION_F32, N, HIDDEN);
    for (size_t k = 0; k < 3; k++)
        for (size_t o = HIDDEN; o < N; o++) {
            memset(g.weight + (k * N + o) * HIDDEN, 0, HIDDEN * sizeof *g.weight);
            g.bias[k * N + o] = g.given[k * N + o] = g.h[o] = 0.0f;
        }
    g.u = panels_pack(&g.arena, 3 * N, HIDDEN, g.weight, g.bias);
    for (size_t i = 0; kernels_at(i); i++) {
        kernels_at(i)->gru_step(next, &g.u, g.h, g.given, false, scratch);
        for (size_t o = HIDDEN; o < N; o++) assert_true(next[o] == 0.0f);
    }
    gru_free(&g);
}

static void naive_clipped_step(double *next, const struct gru *g, double most)
{
    size_t n = g->n;
    double z[160], kept[160];
    for (size_t o = 0; o < n; o++) {
        double sums[2] = {(double)g->given[o], (double)g->given[n + o]};
        for (size_t k = 0; k < 2; k++)
            for (size_t c = 0; c < g->cols; c++)
                sums[k] += (double)g->weight[(k * n + o) * g->cols + c] * (double)g->h[c];
        z[o] = naive_sigmoid(sums[0]);
        kept[o] = naive_sigmoid(sums[1]) * (double)g->h[o];
    }
    for (size_t o = 0; o < n; o++) {
        double sum = (double)g->given[2 * n + o];
        for (size_t c = 0; c < g->cols; c++)
            sum += (double)g->weight[(2 * n + o) * g->cols + c] * kept[c];
        next[o] = (1.0 - z[o]) * tanh(sum) + z[o] * (double)g->h[o];
        next[o] = fmin(fmax(next[o], -most), most);
    }
}

static void check_clipped_step(const struct kernels *k, enum precision precision, size_t n,
                               size_t cols)
{
    static const double most[N_PRECISIONS] = {2e-6, 0.02, 0.05};
    struct gru g = gru_new(precision, n, cols);
    struct clipped_gates w = {
        panels_pack_as(&g.arena, precision, 2 * n, cols, g.weight, NULL),
        panels_pack_as(&g.arena, precision, n, cols, g.weight + 2 * n * cols, NULL), 0.2f};
    float *scratch = random_floats(3 * n);
    double *expected = calloc(n, sizeof *expected);
    naive_clipped_step(expected, &g, 0.2);
    k->clipped_step(g.h, &w, g.given, scratch);
    assert_near(g.h, expected, n, most[precision]);
    assert_true(g.h[n] == GUARD && scratch[3 * n] == GUARD);
    g.h[0] = NAN;
    k->clipped_step(g.h, &w, g.given, scratch);
    assert_true(isnan(g.h[0]) && isnan(g.h[n - 1]));
    free(scratch), free(expected);
    gru_free(&g);
}

static void test_clipped_step(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++)
        for (int p = 0; p < N_PRECISIONS; p++)
            for (size_t n = 16; n <= 160; n += 16) {
                check_clipped_step(kernels_at(i), (enum precision)p, n, n);
                check_clipped_step(kernels_at(i), (enum precision)p, n, n - 15);
                check_clipped_step(kernels_at(i), (enum precision)p, n, n - 6);
            }
}

/* ---- fields ---- */

static void naive_field(double *y, const struct field *f, const float *w1, const float *b1,
                        const float *x)
{
    size_t n_hidden = f->first.rows, padded = panels_padded(n_hidden);
    for (size_t o = 0; o < f->n_out; o++) y[o] = (double)f->second_bias[o];
    for (size_t j = 0; j < n_hidden; j++) {
        double a = (double)b1[j];
        for (size_t c = 0; c < f->first.cols; c++)
            a += (double)w1[j * f->first.cols + c] * (double)x[c];
        a = f->relu ? fmax(a, 0.0) : tanh(a);
        for (size_t o = 0; o < f->n_out; o++) y[o] += (double)f->second[o * padded + j] * a;
    }
}

static void check_field(const struct kernels *k, size_t n, size_t n_hidden, bool relu)
{
    size_t n_rows = (n + 3) / 4 * 4, padded = panels_padded(n_hidden);
    struct arena a;
    assert_int_equal(arena_new(&a, (padded * (n + 2)) * 4 + 4096), 0);
    float *w1 = random_floats(n_hidden * n), *b1 = random_floats(n_hidden);
    float *w2 = random_floats(n_rows * padded), *b2 = random_floats(n_rows);
    float *x = random_floats(n), *y = random_floats(n_rows), *hidden = random_floats(padded);
    double expected[16] = {0};
    struct field f = {.first = panels_pack(&a, n_hidden, n, w1, b1),
                      .n_out = n,
                      .second = w2,
                      .second_bias = b2,
                      .relu = relu};
    naive_field(expected, &f, w1, b1, x);
    k->field(y, &f, x, hidden);
    assert_near(y, expected, n, 1e-6 * sqrt((double)n_hidden) + 1e-6);
    assert_true(y[n_rows] == GUARD && hidden[padded] == GUARD);
    x[n / 2] = NAN;
    k->field(y, &f, x, hidden);
    for (size_t o = 0; o < n; o++) assert_true(isnan(y[o]));
    free(w1), free(b1), free(w2), free(b2), free(x), free(y), free(hidden);
    arena_free(&a);
}

static void test_field(void **state)
{
    (void)state;
    static const size_t hidden[] = {1, 15, 16, 17, 100, 128};
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t n = 1; n <= 16; n++)
            for (size_t j = 0; j < sizeof hidden / sizeof *hidden; j++) {
                check_field(kernels_at(i), n, hidden[j], false);
                check_field(kernels_at(i), n, hidden[j], true);
            }
}

static void test_move(void **state)
{
    (void)state;
    enum { MOST = 32, STRIDE = 36, SLOPES = 6 };
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t n = 4; n <= MOST; n += 4)
            for (size_t n_slopes = 0; n_slopes <= SLOPES; n_slopes++) {
                float *z = random_floats(n), *y = random_floats(n);
                float *slopes = random_floats(SLOPES * STRIDE);
                float *by = random_floats(SLOPES);
                double expected[MOST] = {0};
                for (size_t j = 0; j < n; j++) {
                    expected[j] = (double)z[j];
                    for (size_t s = 0; s < n_slopes; s++)
                        expected[j] += (double)by[s] * (double)slopes[s * STRIDE + j];
                }
                kernels_at(i)->move(y, z, slopes, STRIDE, by, n_slopes, n);
                kernels_at(i)->move(z, z, slopes, STRIDE, by, n_slopes, n);
                assert_near(y, expected, n, 1e-6);
                assert_memory_equal(y, z, (n + 1) * sizeof *y);
                free(z), free(y), free(slopes), free(by);
            }
}

/* ---- bins and frames ---- */

static void test_finite(void **state)
{
    (void)state;
    static const float strange[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t i = 0; kernels_at(i); i++) {
        assert_true(kernels_at(i)->finite(NULL, 0));
        for (size_t n = 1; n < 70; n++) {
            float *x = random_floats(n);
            x[n] = NAN; /* what is behind does not count */
            x[0] = 3.4e38f, x[n - 1] = -3.4e38f;
            assert_true(kernels_at(i)->finite(x, n));
            for (size_t j = 0; j < n; j++)
                for (size_t s = 0; s < sizeof strange / sizeof *strange; s++) {
                    float before = x[j];
                    x[j] = strange[s];
                    assert_false(kernels_at(i)->finite(x, n));
                    x[j] = before;
                }
            free(x);
        }
    }
}

static void test_scale(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t n = 0; n < 70; n++) {
            float *x = random_floats(n), expected[70];
            for (size_t j = 0; j < n; j++) expected[j] = x[j] * 66.6667f;
            kernels_at(i)->scale(x, n, 66.6667f);
            assert_memory_equal(x, expected, n * sizeof *x);
            assert_true(x[n] == GUARD);
            free(x);
        }
}

static void test_nonzero(void **state)
{
    (void)state;
    enum { MOST = 70 };
    uint32_t found[MOST + 1], expected[MOST];
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t n = 0; n < MOST; n++)
            for (int density = 0; density <= 10; density++) {
                float *x = random_floats(n);
                for (size_t j = 0; j < n; j++)
                    if (rand() % 10 >= density) x[j] = j % 2 ? 0.0f : -0.0f;
                if (density == 10 && n) x[n / 2] = NAN;
                found[n] = 4242;
                size_t count = naive_nonzero(expected, x, n);
                assert_int_equal(kernels_at(i)->nonzero(found, x, n), count);
                assert_memory_equal(found, expected, count * sizeof *found);
                assert_int_equal(found[n], 4242);
                free(x);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gru_step),     cmocka_unit_test(test_gru_padding),
        cmocka_unit_test(test_clipped_step), cmocka_unit_test(test_field),
        cmocka_unit_test(test_move),         cmocka_unit_test(test_finite),
        cmocka_unit_test(test_scale),        cmocka_unit_test(test_nonzero),
    };
    srand(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
