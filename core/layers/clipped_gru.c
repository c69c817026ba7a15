/* The GRU cell of LFADS. */
#include "layers/clipped_gru.h"

#include <string.h>

void clipped_gru_load(struct clipped_gru *l, struct weights *w, size_t n_in,
                      size_t hidden, float clip, const char *prefix)
{
    size_t rows = 3 * hidden;
    l->n_in = n_in;
    l->hidden = hidden;
    l->clip = clip;
    l->weight = weights_matrix(w, rows, n_in, "%s.weight_ih", prefix);
    const float *hh = weights_matrix(w, rows, hidden, "%s.weight_hh", prefix);
    const float *b_ih = weights_floats(w, SHAPE(rows), "%s.bias_ih", prefix);
    const float *b_hh = weights_floats(w, SHAPE(rows), "%s.bias_hh", prefix);
    float *bias = arena_floats(w->arena, rows);
    for (size_t i = 0; bias && b_ih && b_hh && i < rows; i++)
        bias[i] = b_ih[i] + b_hh[i];
    l->bias = bias;
    l->gates = panels_load(w, 2 * hidden, hidden, hh, NULL);
    hh = hh ? hh + 2 * hidden * hidden : NULL;
    l->reset = panels_load(w, hidden, hidden, hh, NULL);
}

struct panels clipped_gru_input(const struct clipped_gru *l, struct weights *w,
                                size_t first, size_t n, const float *bias)
{
    size_t rows = 3 * l->hidden;
    float *columns = weights_raw(w, rows * n);
    for (size_t i = 0; columns && l->weight && i < rows; i++)
        memcpy(columns + i * n, l->weight + i * l->n_in + first, n * sizeof *columns);
    return panels_load(w, rows, n, columns, bias);
}

void clipped_gru_forward(const struct clipped_gru *l, float *h, const float *given,
                         float *scratch)
{
    const struct kernels *k = kernels_get();
    size_t hidden = l->hidden;
    float *z = scratch, *r = z + hidden, *n = r + hidden; /* [hidden] each */

    memcpy(scratch, given, 3 * hidden * sizeof *given);
    k->matvec_add(z, &l->gates, h);
    k->sigmoid_times(r, h, hidden);
    k->matvec_add(n, &l->reset, r);
    k->blend(h, z, n, l->clip, hidden);
}
