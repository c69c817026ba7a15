/* Every kernel of every instruction set this machine has, against its naive twin. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/blas.h"
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

static const size_t sizes[] = {1,  2,  7,  8,   9,   16,  31, 33,
                               63, 64, 65, 100, 128, 202, 606};
#define N_SIZES (sizeof sizes / sizeof *sizes)

static void check_matvec(const struct kernels *k, size_t rows, size_t cols)
{
    struct arena a;
    assert_int_equal(arena_new(&a, (rows + 8) * cols * 4 + 4096), 0);
    float *w = random_floats(rows * cols), *b = random_floats(rows),
          *x = random_floats(cols);
    float *y = random_floats(rows + 1), *expected = random_floats(rows);
    struct panels p = panels_pack(&a, rows, cols, w, b);
    y[rows] = 42.0f;

    naive_matvec(expected, w, b, x, rows, cols);
    k->matvec(y, &p, x);
    assert_true(distance(y, expected, rows) < 1e-6 * sqrt((double)cols) + 1e-7);
    assert_true(y[rows] == 42.0f); /* nothing written past the end */

    k->matvec_add(y, &p, x);
    for (size_t r = 0; r < rows; r++) expected[r] *= 2.0f;
    assert_true(distance(y, expected, rows) < 2e-6 * sqrt((double)cols) + 2e-7);
    assert_true(y[rows] == 42.0f);
    free(w), free(b), free(x), free(y), free(expected);
    arena_free(&a);
}

static void test_matvec(void **state)
{
    (void)state;
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t r = 0; r < N_SIZES; r++)
            for (size_t c = 0; c < N_SIZES; c++)
                check_matvec(kernels_at(i), sizes[r], sizes[c]);
}

static void test_sparse_equals_dense(void **state)
{
    (void)state;
    enum { ROWS = 99, COLS = 202 };
    struct arena a;
    assert_int_equal(arena_new(&a, 104 * COLS * 4 + 4096), 0);
    float *w = random_floats(ROWS * COLS), *b = random_floats(ROWS),
          *x = random_floats(COLS);
    struct panels p = panels_pack(&a, ROWS, COLS, w, b);
    float dense[ROWS], sparse[ROWS];
    uint32_t index[COLS];
    for (int density = 0; density <= 10; density++)
        for (size_t i = 0; kernels_at(i); i++) {
            for (size_t c = 0; c < COLS; c++)
                x[c] = rand() % 10 < density ? (float)(rand() % 5) : 0;
            kernels_at(i)->matvec(dense, &p, x);
            kernels_at(i)->matvec_sparse(sparse, &p, x, index,
                                         nonzero_index(index, x, COLS));
            assert_memory_equal(dense, sparse, sizeof dense);
        }
    free(w), free(b), free(x);
    arena_free(&a);
}

static void test_instruction_sets_agree(void **state)
{
    (void)state;
    enum { ROWS = 202, COLS = 606 };
    struct arena a;
    assert_int_equal(arena_new(&a, 208 * COLS * 4 + 4096), 0);
    float *w = random_floats(ROWS * COLS), *x = random_floats(COLS);
    struct panels p = panels_pack(&a, ROWS, COLS, w, NULL);
    float first[ROWS], other[ROWS], size[ROWS];
    kernels_at(0)->matvec(first, &p, x);
    for (size_t r = 0; r < ROWS; r++) size[r] = fabsf(first[r]);
    for (size_t i = 1; kernels_at(i); i++) {
        kernels_at(i)->matvec(other, &p, x);
        float most = 0;
        for (size_t r = 0; r < ROWS; r++) most = fmaxf(most, size[r]);
        assert_true(distance(first, other, ROWS) <= 1e-5 * (double)most);
    }
    free(w), free(x);
    arena_free(&a);
}

static void test_dots_and_weighted_rows(void **state)
{
    (void)state;
    enum { ROWS = 37, STRIDE = 120 };
    float *rows = random_floats(ROWS * STRIDE), *x = random_floats(STRIDE);
    float y[STRIDE], weights[ROWS];
    for (size_t i = 0; kernels_at(i); i++)
        for (size_t n = 1; n <= 104; n++) {
            kernels_at(i)->dots(weights, x, n, rows, STRIDE, ROWS);
            for (size_t j = 0; j < ROWS; j++) {
                double sum = 0;
                for (size_t c = 0; c < n; c++)
                    sum += (double)x[c] * (double)rows[j * STRIDE + c];
                assert_true(fabs(sum - (double)weights[j]) < 1e-5);
            }
            if (n % 8) continue;
            kernels_at(i)->weighted_rows(y, n, rows, STRIDE, weights, ROWS);
            for (size_t c = 0; c < n; c++) {
                double sum = 0;
                for (size_t j = 0; j < ROWS; j++)
                    sum += (double)weights[j] * (double)rows[j * STRIDE + c];
                assert_true(fabs(sum - (double)y[c]) < 1e-5);
            }
        }
    free(rows), free(x);
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
static double sweep(void (*f)(float *, size_t), double (*exact)(double), double low,
                    double high, double floor)
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
        double t = fmax(sweep(k->tanh, tanh, -10.0, 10.0, 1e-30),
                        sweep(k->tanh, tanh, -0.7, 0.7, 1e-30));
        double s = sweep(k->sigmoid, exact_sigmoid, -30.0, 30.0, 0.0);
        print_message("%s: largest relative error exp %.2e tanh %.2e sigmoid %.2e\n",
                      k->name, e, t, s);
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
        assert_true(e[0] == 1.0f && isinf(e[1]) && e[2] == 0.0f && isinf(e[3]) &&
                    e[4] == 0.0f);
        assert_true(isnan(e[5]) && isfinite(e[6]));
        float t[] = {0.0f, 50.0f, -50.0f, INFINITY, -INFINITY, NAN};
        k->tanh(t, 6);
        assert_true(t[0] == 0.0f && t[1] == 1.0f && t[2] == -1.0f && t[3] == 1.0f &&
                    t[4] == -1.0f);
        assert_true(isnan(t[5]));
        float s[] = {0.0f, 200.0f, -200.0f, INFINITY, -INFINITY, NAN};
        k->sigmoid(s, 6);
        assert_true(s[0] == 0.5f && s[1] == 1.0f && s[2] == 0.0f && s[3] == 1.0f &&
                    s[4] == 0.0f);
        assert_true(isnan(s[5]));
    }
}

/* ---- BLAS from four threads at once ---- */

enum { BLAS_N = 23, BLAS_ROWS = 65, BLAS_COLS = 101, BLAS_ROUNDS = 3000 };

struct blas_job {
    const float *x, *w, *expected;
    size_t differing;
};

static void *blas_run(void *arg)
{
    struct blas_job *job = arg;
    float *y = malloc(BLAS_N * BLAS_ROWS * sizeof *y);
    for (int i = 0; i < BLAS_ROUNDS; i++) {
        blas_matmul_transposed(y, BLAS_ROWS, job->x, BLAS_COLS, job->w, BLAS_COLS,
                               BLAS_N, BLAS_ROWS, BLAS_COLS);
        job->differing += memcmp(y, job->expected, BLAS_N * BLAS_ROWS * sizeof *y) != 0;
    }
    free(y);
    return NULL;
}

static void test_blas_four_threads(void **state)
{
    (void)state;
    assert_int_equal(blas_threads(), 1);
    float *x = random_floats(BLAS_N * BLAS_COLS),
          *w = random_floats(BLAS_ROWS * BLAS_COLS);
    float *expected = random_floats(BLAS_N * BLAS_ROWS),
          *exact = random_floats(BLAS_ROWS);
    blas_matmul_transposed(expected, BLAS_ROWS, x, BLAS_COLS, w, BLAS_COLS, BLAS_N,
                           BLAS_ROWS, BLAS_COLS);
    naive_matvec(exact, w, NULL, x, BLAS_ROWS, BLAS_COLS);
    assert_true(distance(expected, exact, BLAS_ROWS) < 1e-5);

    pthread_t threads[4];
    struct blas_job jobs[4];
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct blas_job){.x = x, .w = w, .expected = expected};
        assert_int_equal(pthread_create(&threads[i], NULL, blas_run, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].differing, 0);
    }
    free(x), free(w), free(expected), free(exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matvec),
        cmocka_unit_test(test_sparse_equals_dense),
        cmocka_unit_test(test_instruction_sets_agree),
        cmocka_unit_test(test_dots_and_weighted_rows),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_function_errors),
        cmocka_unit_test(test_function_edges),
        cmocka_unit_test(test_blas_four_threads),
    };
    srand(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
