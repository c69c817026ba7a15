/* Linear and norm layers. */
#include "layers/layers.h"

#include <stdio.h>
#include <string.h>

struct panels panels_load(struct weights *w, size_t rows, size_t cols, const float *weight,
                          const float *bias)
{
    return panels_pack_as(w->arena, w->precision, rows, cols, weight, bias);
}

const float *gates_spread(struct weights *w, size_t n_gates, size_t hidden, size_t n,
                          const float *rows)
{
    size_t size = panels_padded(hidden);
    float *spread = weights_raw(w, n_gates * size * n); /* zeros of the arena */
    if (!spread || !rows) return NULL;
    for (size_t g = 0; g < n_gates; g++)
        memcpy(spread + g * size * n, rows + g * hidden * n, hidden * n * sizeof *rows);
    return spread;
}

void linear_load_named(struct linear *l, struct weights *w, size_t n_out, size_t n_in,
                       const char *weight_name, const char *bias_name)
{
    l->n_out = n_out;
    l->n_in = n_in;
    const float *weight = weights_matrix(w, n_out, n_in, "%s", weight_name);
    l->bias = weights_floats(w, SHAPE(n_out), "%s", bias_name);
    l->packed = panels_load(w, n_out, n_in, weight, l->bias);
}

void linear_load(struct linear *l, struct weights *w, size_t n_out, size_t n_in, const char *name)
{
    char weight_name[160], bias_name[160];
    snprintf(weight_name, sizeof weight_name, "%s.weight", name);
    snprintf(bias_name, sizeof bias_name, "%s.bias", name);
    linear_load_named(l, w, n_out, n_in, weight_name, bias_name);
}

void linear_forward(const struct linear *l, float *y, const float *x)
{
    kernels_get()->matvec(y, &l->packed, x);
}

void linear_forward_add(const struct linear *l, float *y, const float *x)
{
    kernels_get()->matvec_add(y, &l->packed, x);
}

void linear_rows(const struct linear *l, float *y, const float *x, size_t n)
{
    linear_rows_then(l, y, x, n, 0);
}

void linear_rows_then(const struct linear *l, float *y, const float *x, size_t n, unsigned then)
{
    kernels_get()->matmul(y, l->n_out, &l->packed, x, l->n_in, n, then);
}

void norm_load(struct norm *l, struct weights *w, size_t width, const char *name)
{
    l->width = width;
    l->weight = weights_floats(w, SHAPE(width), "%s.weight", name);
    l->bias = weights_floats(w, SHAPE(width), "%s.bias", name);
}

void norm_forward(const struct norm *l, float *y, const float *x)
{
    kernels_get()->layer_norm(y, x, l->weight, l->bias, l->width);
}

void relu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = x[i] < 0.0f ? 0.0f : x[i];
}

void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}
