/* Layers: views of weights, and forward functions over flat arrays. None allocates.
 * Letters: D width, H heads, F hidden, n rows (tokens). */
#ifndef LATENT_LAYERS_H
#define LATENT_LAYERS_H

#include "base/weights.h"
#include "kernels/kernels.h"

/* Pack a matrix from weights_matrix, or a part of one, in the precision that is loaded.
 * bias: [rows] or NULL; copied. */
struct panels panels_load(struct weights *w, size_t rows, size_t cols, const float *weight,
                          const float *bias);

/* The rows [n_gates, hidden, n] of gates one below the other with zeros below each, so
 * that every gate fills whole units of 16; in w->raw. */
const float *gates_spread(struct weights *w, size_t n_gates, size_t hidden, size_t n,
                          const float *rows);

/* y = W x + b */
struct linear {
    size_t n_out, n_in;
    const float *bias; /* [n_out] */
    struct panels packed;
};

/* Takes "<name>.weight" and "<name>.bias". */
void linear_load(struct linear *l, struct weights *w, size_t n_out, size_t n_in, const char *name);
/* Takes two tensors by their full names, e.g. "..in_proj_weight" and "..in_proj_bias". */
void linear_load_named(struct linear *l, struct weights *w, size_t n_out, size_t n_in,
                       const char *weight_name, const char *bias_name);
void linear_forward(const struct linear *l, float *y, const float *x);
/* y += W x + b */
void linear_forward_add(const struct linear *l, float *y, const float *x);
/* y [n, n_out] = x [n, n_in] W^T + b */
void linear_rows(const struct linear *l, float *y, const float *x, size_t n);
/* The same, then (bit set of enum product_then). */
void linear_rows_then(const struct linear *l, float *y, const float *x, size_t n, unsigned then);

/* Layer norm, eps 1e-5. */
struct norm {
    size_t width;
    const float *weight, *bias; /* [width] */
};

void norm_load(struct norm *l, struct weights *w, size_t width, const char *name);
void norm_forward(const struct norm *l, float *y, const float *x); /* y may be x */

void relu(float *x, size_t n);
/* y += x */
void add(float *y, const float *x, size_t n);

#endif
