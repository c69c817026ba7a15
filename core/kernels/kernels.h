/* Arithmetic on flat arrays: one table of functions per instruction set, chosen once at start.
 *
 * One body (kernels_body.h) is compiled for each instruction set. The order of summation depends
 * on the inner dimension only, never on the vector width or on how many rows are multiplied at
 * once, so instruction sets differ by fused rounding alone and a window gives the same bits as
 * its bins one by one. No function allocates. Arrays need no alignment unless said. */
#ifndef LATENT_KERNELS_H
#define LATENT_KERNELS_H

#include <stdbool.h>
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
 * data[o / 16 * unit_stride + c * column_stride + o % 16]. The last unit is read whole. */
struct tiles {
    const float *data;
    size_t unit_stride, column_stride, n_out, n_in;
};

/* W2 f(W1 x + b1) + b2 with few outputs, in float32: f is tanh, or cuts off what is below zero. */
struct field {
    struct panels first;      /* W1 and b1, float32 */
    size_t n_out;             /* rows of W2 */
    const float *second;      /* W2 [n_out, hidden], rounded up to [4, 16] by zeros */
    const float *second_bias; /* b2 [n_out, rounded up to 4] */
    bool relu;
};

/* Of a GRU whose reset gate comes before the product; the state is cut off at most. */
struct clipped_gates {
    struct panels gates; /* z above r [2 n, any number of columns up to n], no bias */
    struct panels reset; /* [n, as many], no bias */
    float most;
};

struct kernels {
    const char *name;
    /* y = bias + W x */
    void (*matvec)(float *y, const struct panels *w, const float *x);
    /* y += bias + W x */
    void (*matvec_add)(float *y, const struct panels *w, const float *x);
    /* y = bias + W x over the n columns listed in index (ascending); exact when the
     * others are zero */
    void (*matvec_sparse)(float *y, const struct panels *w, const float *x, const uint32_t *index,
                          size_t n);
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
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, size_t n);
    /* In place. Largest errors are stated and measured in tests/unit/test_kernels.c. */
    void (*exp)(float *x, size_t n);
    void (*tanh)(float *x, size_t n);
    void (*sigmoid)(float *x, size_t n);
    /* Is every number finite? */
    bool (*finite)(const float *x, size_t n);
    /* x times a factor. */
    void (*scale)(float *x, size_t n, float factor);
    size_t (*nonzero)(uint32_t *index, const float *x, size_t n); /* nonzero_index */
    /* A step of a GRU from h to next [n], n a multiple of 16, with u = U, c [3 n, up to n columns],
     * given [3 n], scratch [3 n]; of their parts of n numbers, in the order r, z, new:
     *
     *   r    = sigmoid(given + U h + c)
     *   z    = sigmoid(given + U h + c)
     *   new  = tanh   (given + r (U h + c))
     *   next = (1 - z) new + z h
     *
     * backward: reads the weights in the opposite order, with the same result; a chain
     * that alternates finds half of a small matrix in the first cache. */
    void (*gru_step)(float *next, const struct panels *u, const float *h, const float *given,
                     bool backward, float *scratch);
    /* A step of LFADS' GRU, h [n] replaced, n a multiple of 16, given [3 n], scratch [3 n]; of
     * their parts of n numbers, in the order z, r, new:
     *
     *   z   = sigmoid(given + gates h)
     *   r   = sigmoid(given + gates h)
     *   new = tanh   (given + reset (r h))
     *   h   = (1 - z) new + z h, cut off at -most and most */
    void (*clipped_step)(float *h, const struct clipped_gates *w, const float *given,
                         float *scratch);
    /* y [n_out, rounded up to 4] of a field at x; hidden: [rounded up to 16] scratch */
    void (*field)(float *y, const struct field *f, const float *x, float *hidden);
    /* y = z + sum of n_slopes rows of slopes, each times its coefficient; n is a
     * multiple of 4. y may be z. */
    void (*move)(float *y, const float *z, const float *slopes, size_t stride,
                 const float *coefficients, size_t n_slopes, size_t n);
};

/* The table in use. LATENT_KERNELS=plain in the environment forces the portable one. */
const struct kernels *kernels_get(void);
/* All tables this machine can run, for tests; NULL past the last. */
const struct kernels *kernels_at(size_t i);

/* Indices of non-zero elements, ascending; returns their number. index: [n], of which
 * what is behind them may be written over. */
size_t nonzero_index(uint32_t *index, const float *x, size_t n);

/* The naive twins: what each fast kernel is checked against. */
void naive_matvec(float *y, const float *weight, const float *bias, const float *x, size_t rows,
                  size_t cols);
void naive_layer_norm(float *y, const float *x, const float *weight, const float *bias, size_t n);
void naive_softmax(float *x, size_t n, float scale);
size_t naive_nonzero(uint32_t *index, const float *x, size_t n);

extern const struct kernels kernels_plain;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2, kernels_avx512, kernels_avx512vnni;
#elif defined(__aarch64__)
extern const struct kernels kernels_neon;
#endif

#endif
