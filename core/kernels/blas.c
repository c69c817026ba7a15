/* OpenBLAS, and nothing else of it. Its pthread build with one thread is the one that is correct
 * when several of our threads multiply at once; the environment must say so before the library's
 * own constructor runs. */
#include "kernels/blas.h"

#include <openblas-pthread/cblas.h>
#include <stdlib.h>

__attribute__((constructor(101))) static void blas_single_thread(void)
{
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
}

void blas_matmul_transposed(float *y, size_t y_stride, const float *x, size_t x_stride,
                            const float *weight, size_t weight_stride, size_t n, size_t rows,
                            size_t cols)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)rows, (int)cols, 1.0f, x,
                (int)x_stride, weight, (int)weight_stride, 0.0f, y, (int)y_stride);
}

void blas_matmul(float *y, size_t y_stride, const float *x, size_t x_stride, const float *m,
                 size_t m_stride, size_t n, size_t cols, size_t inner)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)cols, (int)inner, 1.0f, x,
                (int)x_stride, m, (int)m_stride, 0.0f, y, (int)y_stride);
}

int blas_threads(void)
{
    return openblas_get_num_threads();
}
