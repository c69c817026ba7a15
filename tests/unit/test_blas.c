/* OpenBLAS from four threads at once: the right numbers, and the same in each. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/blas.h"
#include "kernels/kernels.h"

static float *random_floats(size_t n)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return x;
}

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
        blas_matmul_transposed(y, BLAS_ROWS, job->x, BLAS_COLS, job->w, BLAS_COLS, BLAS_N,
                               BLAS_ROWS, BLAS_COLS);
        job->differing += memcmp(y, job->expected, BLAS_N * BLAS_ROWS * sizeof *y) != 0;
    }
    free(y);
    return NULL;
}

static void test_blas_four_threads(void **state)
{
    (void)state;
    assert_int_equal(blas_threads(), 1);
    float *x = random_floats(BLAS_N * BLAS_COLS), *w = random_floats(BLAS_ROWS * BLAS_COLS);
    float *expected = random_floats(BLAS_N * BLAS_ROWS), *exact = random_floats(BLAS_ROWS);
    blas_matmul_transposed(expected, BLAS_ROWS, x, BLAS_COLS, w, BLAS_COLS, BLAS_N, BLAS_ROWS,
                           BLAS_COLS);
    naive_matvec(exact, w, NULL, x, BLAS_ROWS, BLAS_COLS);
    for (size_t i = 0; i < BLAS_ROWS; i++) assert_true(fabsf(expected[i] - exact[i]) < 1e-5f);

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
        cmocka_unit_test(test_blas_four_threads),
    };
    srand(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
