/* The GRU cell of LFADS. */
#include "layers/clipped_gru.h"

#include <string.h>

void clipped_gru_load(struct clipped_gru *l, struct weights *w, size_t n_in, size_t hidden,
                      float clip, const char *prefix)
{
    size_t rows = 3 * hidden, size = panels_padded(hidden);
    const float *ih = weights_matrix(w, rows, n_in, "%s.weight_ih", prefix);
    const float *hh = weights_matrix(w, rows, hidden, "%s.weight_hh", prefix);
    const float *b_ih = weights_floats(w, SHAPE(rows), "%s.bias_ih", prefix);
    const float *b_hh = weights_floats(w, SHAPE(rows), "%s.bias_hh", prefix);
    float *bias = arena_floats(w->arena, 3 * size);
    for (size_t i = 0; bias && b_ih && b_hh && i < rows; i++)
        bias[i / hidden * size + i % hidden] = b_ih[i] + b_hh[i];
    l->n_in = n_in;
    l->hidden = hidden;
    l->size = size;
    l->weight = gates_spread(w, 3, hidden, n_in, ih);
    l->bias = bias;
    hh = gates_spread(w, 3, hidden, hidden, hh);
    l->gates.most = clip;
    l->gates.gates = panels_load(w, 2 * size, hidden, hh, NULL);
    hh = hh ? hh + 2 * size * hidden : NULL;
    l->gates.reset = panels_load(w, size, hidden, hh, NULL);
}

struct panels clipped_gru_input(const struct clipped_gru *l, struct weights *w, size_t first,
                                size_t n, const float *bias)
{
    size_t rows = 3 * l->size;
    float *columns = weights_raw(w, rows * n);
    for (size_t i = 0; columns && l->weight && i < rows; i++)
        memcpy(columns + i * n, l->weight + i * l->n_in + first, n * sizeof *columns);
    return panels_load(w, rows, n, columns, bias);
}

void clipped_gru_forward(const struct clipped_gru *l, float *h, const float *given, float *scratch)
{
    kernels_get()->clipped_step(h, &l->gates, given, scratch);
}
