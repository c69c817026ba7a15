/* Arithmetic on flat arrays: one table of functions per instruction set, chosen once at
 * start.
 *
 * One body (kernels_body.h) is compiled for each instruction set. The order of
 * summation depends on the inner dimension only, never on the vector width, so
 * instruction sets differ by fused rounding alone. No function allocates. Arrays need
 * no alignment unless said. */
#ifndef LATENT_KERNELS_H
#define LATENT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define PANEL_ROWS 64 /* outputs computed side by side */
#define KERNEL_LANES                                                                   \
    16 /* partial sums of a dot product; also the padding of attention heads is 8 */

/* A matrix [rows, cols] as column panels: for each block of 64 rows, column after
 * column, the 64 values side by side (the last block is narrower, rounded up to 8,
 * zero-padded). A product then reads memory strictly forward, sums each output in
 * column order, and may skip columns of zeros without changing a bit. */
struct panels {
    size_t rows, cols;
    const float *data;
    const float *bias; /* [rows] or NULL */
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
    /* y[j] = sum_i x[i] rows[j * stride + i], j < n_rows, i < n */
    void (*dots)(float *y, const float *x, size_t n, const float *rows, size_t stride,
                 size_t n_rows);
    /* y[n] = sum_j x[j] rows[j * stride ...]; n a multiple of 8, added in order of j */
    void (*weighted_rows)(float *y, size_t n, const float *rows, size_t stride,
                          const float *x, size_t n_rows);
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

/* Pack weight [rows, cols] (row-major) into a; data is NULL from a counting arena. bias
 * is kept by pointer. */
struct panels panels_pack(struct arena *a, size_t rows, size_t cols,
                          const float *weight, const float *bias);
/* Indices of non-zero elements, ascending; returns their number. index: [n]. */
size_t nonzero_index(uint32_t *index, const float *x, size_t n);

/* The naive twins: what each fast kernel is checked against. */
void naive_matvec(float *y, const float *weight, const float *bias, const float *x,
                  size_t rows, size_t cols);
void naive_layer_norm(float *y, const float *x, const float *weight, const float *bias,
                      size_t n);

extern const struct kernels kernels_plain;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2;
#endif

#endif
