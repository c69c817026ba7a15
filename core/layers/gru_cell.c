/* Torch's GRU cell with its input product apart. */
#include "layers/gru_cell.h"

#include <string.h>

void gru_cell_load(struct gru_cell *l, struct weights *w, size_t n_in, size_t hidden,
                   const char *prefix, const char *suffix)
{
    size_t n = 3 * hidden;
    const float *ih = weights_matrix(w, n, n_in, "%s.weight_ih%s", prefix, suffix);
    const float *hh = weights_matrix(w, n, hidden, "%s.weight_hh%s", prefix, suffix);
    const float *b_ih = weights_floats(w, SHAPE(n), "%s.bias_ih%s", prefix, suffix);
    const float *b_hh = weights_floats(w, SHAPE(n), "%s.bias_hh%s", prefix, suffix);
    l->n_in = n_in;
    l->hidden = hidden;
    l->input = panels_load(w, n, n_in, ih, b_ih);
    l->recurrent = panels_load(w, n, hidden, hh, b_hh);
}

void gru_cell_forward(const struct gru_cell *l, float *h, const float *given,
                      float *scratch)
{
    const struct kernels *k = kernels_get();
    size_t hidden = l->hidden;
    float *r = scratch, *z = r + hidden, *n = z + hidden; /* [hidden] each */
    float *back = n + hidden;                             /* [3 hidden] */

    memcpy(scratch, given, 3 * hidden * sizeof *given);
    k->matvec(back, &l->recurrent, h);
    add(r, back, 2 * hidden);
    k->sigmoid(r, 2 * hidden);
    for (size_t i = 0; i < hidden; i++) n[i] += r[i] * back[2 * hidden + i];
    k->tanh(n, hidden);
    for (size_t i = 0; i < hidden; i++) h[i] = (1.0f - z[i]) * n[i] + z[i] * h[i];
}
