/* Every kernel of every instruction set this machine has, against its naive twin. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

static float uniform(void)
{
    return (float)rand() / (float)RAND_MAX - 0.5f;
}

static float *random_floats(size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = uniform();
    return x;
}

/* Largest |a - b|, absolute. */
static double distance(const float *a, const float *b, size_t n)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static const size_t sizes[] = {1, 2, 7, 8, 9, 16, 31, 33, 63, 64, 65, 100, 128, 202, 606};
#define N_SIZES (sizeof sizes / sizeof *sizes)

/* A matrix in one precision, and what the naive twin must see of it. */
struct held {
    struct arena arena;
    struct panels panels;
    float *bias, *seen; /* [rows], [rows, cols] */
};

/* The weight of column c of a row as its pair is read. */
static float bf16_seen(const float *row, size_t c, size_t cols)
{
    size_t first = c / 2 * 2;
    uint32_t pair = bf16_pair(row[first], first + 1 < cols ? row[first + 1] : 0.0f);
    return c % 2 ? bf16_pair_second(pair) : bf16_pair_first(pair);
}

static float weight_seen(const struct panels *w, const float *row, size_t r, size_t c)
{
    switch (w->precision) {
    case PRECISION_BF16:
        return bf16_seen(row, c, w->cols);
    case PRECISION_INT8:
        return rintf(row[c] / w->scale[r]) * w->scale[r];
    default:
        return row[c];
    }
}

static struct held held_new(enum precision precision, size_t rows, size_t cols)
{
    struct held h;
    assert_int_equal(arena_new(&h.arena, (rows + 16) * (cols + 1) * 4 + 4096), 0);
    float *weight = random_floats(rows * cols);
    h.seen = random_floats(rows * cols);
    h.bias = random_floats(rows);
    h.panels = panels_pack_as(&h.arena, precision, rows, cols, weight, h.bias);
    for (size_t i = 0; i < rows * cols; i++)
        h.seen[i] = weight_seen(&h.panels, weight + i / cols * cols, i / cols, i % cols);
    free(weight);
    return h;
}

static void held_free(struct held *h)
{
    free(h->seen), free(h->bias);
    arena_free(&h->arena);
}

/* Largest error of a product of cols terms below 1/2: that of float32 sums, or of
 * inputs rounded to 1/32767 of the largest. */
static double product_error(enum precision precision, size_t cols)
{
    return (precision == PRECISION_INT8 ? 8e-6 : 1e-6) * sqrt((double)cols) + 1e-7;
}

static void check_matvec(const struct kernels *k, enum precision precision, size_t rows,
                         size_t cols)
{
    struct held h = held_new(precision, rows, cols);
    float *x = random_floats(cols), *y = random_floats(rows + 1), *expected = random_floats(rows);
    double most = product_error(precision, cols);
    y[rows] = 42.0f;

    naive_matvec(expected, h.seen, h.bias, x, rows, cols);
    k->matvec(y, &h.panels, x);
    assert_true(distance(y, expected, rows) < most);
    assert_true(y[rows] == 42.0f); /* nothing written past the end */

    k->matvec_add(y, &h.panels, x);
    for (size_t r = 0; r < rows; r++) expected[r] *= 2.0f;
    assert_true(distance(y, expected, rows) < 2.0 * most);
    assert_true(y[rows] == 42.0f);
    free(x), free(y), free(expected);
    held_free(&h);
}

static void test_matvec(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++)
        for (int p = 0; p < N_PRECISIONS; p++)
            for (size_t r = 0; r < N_SIZES; r++)
                for (size_t c = 0; c < N_SIZES; c++)
                    check_matvec(kernels_at(i), (enum precision)p, sizes[r], sizes[c]);
}

/* Inputs of more than one segment of 16-bit steps. */
static void test_many_columns(void **state)
{
    (void)state;
    static const size_t cols[] = {511, 512, 513, 1025, 5000};
    for (size_t i = 0; kernels_at(i); i++)
        for (int p = 0; p < N_PRECISIONS; p++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                check_matvec(kernels_at(i), (enum precision)p, 33, cols[c]);
}

/* A window gives the bits of its rows one by one, whatever becomes of them. */
static void test_matmul_equals_matvec(void **state)
{
    (void)state;
    enum { ROWS = 99, COLS = 523, N = 14, X = COLS + 3, Y = ROWS + 5 };
    float *x = random_floats(N * X), *y = malloc(N * Y * sizeof *y), one[ROWS];
    for (size_t i = 0; kernels_at(i); i++)
        for (int p = 0; p < N_PRECISIONS; p++)
            for (size_t n = 0; n <= N; n++) {
                const struct kernels *k = kernels_at(i);
                struct held h = held_new((enum precision)p, ROWS, COLS);
                for (size_t j = 0; j < N * Y; j++) y[j] = 0.25f;
                k->matmul(y, Y, &h.panels, x, X, n, PRODUCT_ADD | PRODUCT_RELU);
                for (size_t r = 0; r < N; r++) {
                    for (size_t j = 0; j < ROWS; j++) one[j] = 0.25f;
                    if (r < n) k->matvec_add(one, &h.panels, x + r * X);
                    for (size_t j = 0; j < ROWS; j++) one[j] = fmaxf(one[j], 0.0f);
                    assert_memory_equal(y + r * Y, one, sizeof one);
                    assert_true(y[r * Y + ROWS] == 0.25f);
                }
                held_free(&h);
            }
    free(x), free(y);
}

/* int8 sums are whole numbers: they must not hide what is not a number, and the largest
 * of them must fit. */
static void test_int8_extremes(void **state)
{
    (void)state;
    enum { ROWS = 20, COLS = 512 };
    static const float strange[] = {NAN, INFINITY, -INFINITY};
    float x[COLS], y[ROWS], ones[ROWS * COLS];
    struct arena a;
    assert_int_equal(arena_new(&a, 1 << 16), 0);
    for (size_t i = 0; i < ROWS * COLS; i++) ones[i] = 1.0f;
    struct panels p = panels_pack_as(&a, PRECISION_INT8, ROWS, COLS, ones, NULL);
    for (size_t i = 0; kernels_at(i); i++) {
        for (size_t c = 0; c < COLS; c++) x[c] = -3.0f;
        kernels_at(i)->matvec(y, &p, x);
        for (size_t r = 0; r < ROWS; r++) assert_true(fabsf(y[r] + 3 * COLS) < 0.01f);
        for (size_t s = 0; s < sizeof strange / sizeof *strange; s++) {
            x[COLS / 2] = strange[s];
            kernels_at(i)->matvec(y, &p, x);
            for (size_t r = 0; r < ROWS; r++) assert_false(isfinite(y[r]));
        }
        memset(x, 0, sizeof x);
        kernels_at(i)->matvec(y, &p, x);
        for (size_t r = 0; r < ROWS; r++) assert_true(y[r] == 0.0f);
    }
    arena_free(&a);
}

static void test_bf16_rounding(void **state)
{
    (void)state;
    static const struct {
        uint32_t bits;
        uint16_t rounded;
    } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},
                 {0x3f808001, 0x3f81}, {0xbf818000, 0xbf82}, {0x3fffffff, 0x4000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float x;
        memcpy(&x, &cases[i].bits, sizeof x);
        assert_int_equal(bf16_round(x), cases[i].rounded);
        assert_int_equal(bf16_round(bf16_float(cases[i].rounded)), cases[i].rounded);
    }
}

/* The first of a pair is the nearest bfloat16; the second is half a step further from
 * its nearest one at most. */
static void test_bf16_pairs(void **state)
{
    (void)state;
    float *x = random_floats(4000);
    x[0] = x[3] = 0.0f, x[5] = -0.0f, x[2] = -1.0f, x[7] = 1.0f;
    for (size_t i = 0; i < 4000; i += 2) {
        uint32_t pair = bf16_pair(x[i], x[i + 1]);
        float nearest = bf16_float(bf16_round(x[i + 1]));
        float second = bf16_pair_second(pair);
        assert_true(bf16_pair_first(pair) == bf16_float(bf16_round(x[i])));
        assert_true(fabsf(second - nearest) <= fabsf(nearest) * 0x1p-8f + 1e-40f);
        assert_true(pair == bf16_pair(bf16_pair_first(pair), nearest));
    }
    free(x);
}

static void test_sparse_equals_dense(void **state)
{
    (void)state;
    enum { ROWS = 99, COLS = 1031 };
    float dense[ROWS], sparse[ROWS], *x = random_floats(COLS);
    uint32_t index[COLS];
    for (int p = 0; p < N_PRECISIONS; p++) {
        struct held h = held_new((enum precision)p, ROWS, COLS);
        for (int density = 0; density <= 10; density++)
            for (size_t i = 0; kernels_at(i); i++) {
                for (size_t c = 0; c < COLS; c++)
                    x[c] = rand() % 10 < density ? (float)(rand() % 5) : 0;
                kernels_at(i)->matvec(dense, &h.panels, x);
                kernels_at(i)->matvec_sparse(sparse, &h.panels, x, index,
                                             nonzero_index(index, x, COLS));
                assert_memory_equal(dense, sparse, sizeof dense);
            }
        held_free(&h);
    }
    free(x);
}

static void test_instruction_sets_agree(void **state)
{
    (void)state;
    enum { ROWS = 202, COLS = 606 };
    float *x = random_floats(COLS), first[ROWS], other[ROWS];
    for (int p = 0; p < N_PRECISIONS; p++) {
        struct held h = held_new((enum precision)p, ROWS, COLS);
        float most = 0;
        kernels_at(0)->matvec(first, &h.panels, x);
        for (size_t r = 0; r < ROWS; r++) most = fmaxf(most, fabsf(first[r]));
        for (size_t i = 1; kernels_at(i); i++) {
            kernels_at(i)->matvec(other, &h.panels, x);
            assert_true(distance(first, other, ROWS) <= 1e-5 * (double)most);
        }
        held_free(&h);
    }
    free(x);
}

/* Element (o, c) of a matrix in units of 16 outputs. */
static float tile_element(const struct tiles *m, size_t o, size_t c)
{
    return m->data[o / 16 * m->unit_stride + c * m->column_stride + o % 16];
}

static void test_product(void **state)
{
    (void)state;
    enum { MOST = 104, N = 7 };
    float *data = random_floats((MOST + 16) * (MOST + 16)), *x = random_floats(N * MOST),
          y[N * MOST];
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t n_out = 1; n_out < MOST; n_out += 9)
            for (size_t n_in = 1; n_in < MOST; n_in += 13) {
                struct tiles m = {data, n_in * 16, 16, n_out, n_in};
                if (n_in % 2) m = (struct tiles){data, 16, MOST + 3, n_out, n_in};
                kernels_at(i)->product(y, MOST, &m, x, MOST, N);
                for (size_t r = 0; r < N; r++)
                    for (size_t o = 0; o < n_out; o++) {
                        double sum = 0;
                        for (size_t c = 0; c < n_in; c++)
                            sum += (double)x[r * MOST + c] * (double)tile_element(&m, o, c);
                        assert_true(fabs(sum - (double)y[r * MOST + o]) < 1e-5);
                    }
            }
    free(data), free(x);
}

static void test_dots(void **state)
{
    (void)state;
    enum { ROWS = 37, STRIDE = 120 };
    float *rows = random_floats(ROWS * STRIDE), *x = random_floats(STRIDE), y[ROWS];
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t n = 1; n <= 104; n++) {
            kernels_at(i)->dots(y, x, n, rows, STRIDE, ROWS);
            for (size_t j = 0; j < ROWS; j++) {
                double sum = 0;
                for (size_t c = 0; c < n; c++) sum += (double)x[c] * (double)rows[j * STRIDE + c];
                assert_true(fabs(sum - (double)y[j]) < 1e-5);
            }
        }
    free(rows), free(x);
}

static void test_softmax(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t n = 1; n < 100; n++) {
            float *x = random_floats(n), *expected = random_floats(n);
            for (size_t j = 0; j < n; j++) expected[j] = x[j] *= 40.0f;
            x[n] = 42.0f;
            naive_softmax(expected, n, 0.7f);
            kernels_at(i)->softmax(x, n, 0.7f);
            assert_true(distance(x, expected, n) < 1e-6);
            assert_true(x[n] == 42.0f);
            x[n / 2] = NAN;
            kernels_at(i)->softmax(x, n, 0.7f);
            assert_true(isnan(x[0]));
            free(x), free(expected);
        }
}

static void test_layer_norm(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t s = 0; s < N_SIZES; s++) {
            size_t n = sizes[s];
            float *x = random_floats(n), *w = random_floats(n), *b = random_floats(n);
            float *y = random_floats(n), *expected = random_floats(n);
            x[n / 2] = 114.0f; /* an identity-embedded count of 8 times sqrt(202) */
            naive_layer_norm(expected, x, w, b, n);
            kernels_at(i)->layer_norm(y, x, w, b, n);
            assert_true(distance(y, expected, n) < 3e-6 * sqrt((double)n));
            kernels_at(i)->layer_norm(x, x, w, b, n);
            assert_memory_equal(x, y, n * sizeof *x);
            free(x), free(w), free(b), free(y), free(expected);
        }
}

/* Largest error of f over [low, high], relative to max(|exact|, floor). */
static double sweep(void (*f)(float *, size_t), double (*exact)(double), double low, double high,
                    double floor)
{
    enum { N = 400003 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    double most = 0.0;
    for (size_t i = 0; i < N; i++)
        x[i] = y[i] = (float)(low + (high - low) * (double)i / (double)(N - 1));
    f(y, N);
    for (size_t i = 0; i < N; i++) {
        double e = exact((double)x[i]);
        most = fmax(most, fabs((double)y[i] - e) / fmax(fabs(e), floor));
    }
    free(x), free(y);
    return most;
}

static double exact_sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* Stated largest errors: exp 2.0e-7 relative, tanh 3.0e-7 relative, sigmoid 3.0e-7
 * relative. */
static void test_function_errors(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++) {
        const struct kernels *k = kernels_at(i);
        double e = sweep(k->exp, exp, -87.0, 88.0, 0.0);
        double t =
            fmax(sweep(k->tanh, tanh, -10.0, 10.0, 1e-30), sweep(k->tanh, tanh, -0.7, 0.7, 1e-30));
        double s = sweep(k->sigmoid, exact_sigmoid, -30.0, 30.0, 0.0);
        print_message("%s: largest relative error exp %.2e tanh %.2e sigmoid %.2e\n", k->name, e, t,
                      s);
        assert_true(e < 2.0e-7);
        assert_true(t < 3.0e-7);
        assert_true(s < 3.0e-7);
    }
}

static void test_function_edges(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++) {
        const struct kernels *k = kernels_at(i);
        float e[] = {0.0f, 100.0f, -100.0f, INFINITY, -INFINITY, NAN, 88.7f};
        k->exp(e, 7);
        assert_true(e[0] == 1.0f && isinf(e[1]) && e[2] == 0.0f && isinf(e[3]) && e[4] == 0.0f);
        assert_true(isnan(e[5]) && isfinite(e[6]));
        float t[] = {0.0f, 50.0f, -50.0f, INFINITY, -INFINITY, NAN};
        k->tanh(t, 6);
        assert_true(t[0] == 0.0f && t[1] == 1.0f && t[2] == -1.0f && t[3] == 1.0f && t[4] == -1.0f);
        assert_true(isnan(t[5]));
        float s[] = {0.0f, 200.0f, -200.0f, INFINITY, -INFINITY, NAN};
        k->sigmoid(s, 6);
        assert_true(s[0] == 0.5f && s[1] == 1.0f && s[2] == 0.0f && s[3] == 1.0f && s[4] == 0.0f);
        assert_true(isnan(s[5]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matvec),
        cmocka_unit_test(test_many_columns),
        cmocka_unit_test(test_matmul_equals_matvec),
        cmocka_unit_test(test_int8_extremes),
        cmocka_unit_test(test_bf16_rounding),
        cmocka_unit_test(test_bf16_pairs),
        cmocka_unit_test(test_sparse_equals_dense),
        cmocka_unit_test(test_instruction_sets_agree),
        cmocka_unit_test(test_product),
        cmocka_unit_test(test_dots),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_function_errors),
        cmocka_unit_test(test_function_edges),
    };
    srand(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
