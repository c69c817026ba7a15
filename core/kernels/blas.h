/* The matrix products that go to OpenBLAS: whole windows, never a single bin. */
#ifndef LATENT_BLAS_H
#define LATENT_BLAS_H

#include <stddef.h>

/* y [n, rows] (row stride y_stride) = x [n, cols] (row stride x_stride) * weight [rows, cols]^T */
void blas_matmul_transposed(float *y, size_t y_stride, const float *x, size_t x_stride,
                            const float *weight, size_t weight_stride, size_t n, size_t rows,
                            size_t cols);
/* y [n, cols] = x [n, inner] * m [inner, cols], with row strides */
void blas_matmul(float *y, size_t y_stride, const float *x, size_t x_stride, const float *m,
                 size_t m_stride, size_t n, size_t cols, size_t inner);
/* Threads OpenBLAS uses: must be 1. */
int blas_threads(void);

#endif
