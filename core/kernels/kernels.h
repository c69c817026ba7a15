/* Arithmetic on flat arrays: one table of functions per instruction set, chosen once at
 * start.
 *
 * One body (kernels_body.h) is compiled for each instruction set. The order of
 * summation depends on the inner dimension only, never on the vector width or on how
 * many rows are multiplied at once, so instruction sets differ by fused rounding alone
 * and a window gives the same bits as its bins one by one. No function allocates.
 * Arrays need no alignment unless said. */
#ifndef LATENT_KERNELS_H
#define LATENT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/panels.h"

#define KERNEL_LANES 16 /* partial sums of a dot product */

/* What becomes of a product (bit set), in this order. */
enum product_then {
    PRODUCT_ADD = 1u << 0,  /* added to what is in y */
    PRODUCT_RELU = 1u << 1, /* negative numbers become zero */
};

/* A float matrix [n_out, n_in] in units of 16 outputs: element (o, c) is
 * data[o / 16 * unit_stride + c * column_stride + o % 16]. The last unit is read whole.
 */
struct tiles {
    const float *data;
    size_t unit_stride, column_stride, n_out, n_in;
};

struct kernels {
    const char *name;
    /* y = bias + W x */
    void (*matvec)(float *y, const struct panels *w, const float *x);
    /* y += bias + W x */
    void (*matvec_add)(float *y, const struct panels *w, const float *x);
    /* y = bias + W x over the n columns listed in index (ascending); exact when the
     * others are zero */
    void (*matvec_sparse)(float *y, const struct panels *w, const float *x,
                          const uint32_t *index, size_t n);
    /* The same for n rows at once: row i of y (stride y_stride) from row i of x (stride
     * x_stride); each weight is read once for several rows. */
    void (*matmul)(float *y, size_t y_stride, const struct panels *w, const float *x,
                   size_t x_stride, size_t n, unsigned then);
    /* Row i of y [n, n_out] = M times row i of x [n, n_in], for a matrix that changes
     * from bin to bin. */
    void (*product)(float *y, size_t y_stride, const struct tiles *m, const float *x,
                    size_t x_stride, size_t n);
    /* y[j] = sum_i x[i] rows[j * stride + i], j < n_rows, i < n */
    void (*dots)(float *y, const float *x, size_t n, const float *rows, size_t stride,
                 size_t n_rows);
    /* Softmax of x[0..n) times scale, in place. */
    void (*softmax)(float *x, size_t n, float scale);
    /* Layer norm with affine weights, biased variance, eps 1e-5; the mean is corrected
     * by a second pass, since tokens may carry a few large elements. y may be x. */
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias,
                       size_t n);
    /* In place. Largest errors are stated and measured in tests/unit/test_kernels.c. */
    void (*exp)(float *x, size_t n);
    void (*tanh)(float *x, size_t n);
    void (*sigmoid)(float *x, size_t n);
};

/* The table in use. LATENT_KERNELS=plain in the environment forces the portable one. */
const struct kernels *kernels_get(void);
/* All tables this machine can run, for tests; NULL past the last. */
const struct kernels *kernels_at(size_t i);

/* Indices of non-zero elements, ascending; returns their number. index: [n]. */
size_t nonzero_index(uint32_t *index, const float *x, size_t n);

/* The naive twins: what each fast kernel is checked against. */
void naive_matvec(float *y, const float *weight, const float *bias, const float *x,
                  size_t rows, size_t cols);
void naive_layer_norm(float *y, const float *x, const float *weight, const float *bias,
                      size_t n);
void naive_softmax(float *x, size_t n, float scale);

extern const struct kernels kernels_plain;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2, kernels_avx512, kernels_avx512vnni;
#elif defined(__aarch64__)
extern const struct kernels kernels_neon;
#endif

#endif
