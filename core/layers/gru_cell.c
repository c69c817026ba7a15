/* Torch's GRU cell with its input product apart. */
#include "layers/gru_cell.h"

#include <string.h>

#define N_GATES 3

static struct panels gates_load(struct weights *w, const struct gru_cell *l, size_t n,
                                const float *rows, const float *bias)
{
    return panels_load(w, N_GATES * l->size, n, gates_spread(w, N_GATES, l->hidden, n, rows),
                       gates_spread(w, N_GATES, l->hidden, 1, bias));
}

void gru_cell_load_recurrent(struct gru_cell *l, struct weights *w, size_t hidden,
                             const char *prefix, const char *suffix)
{
    size_t n = N_GATES * hidden;
    l->hidden = hidden;
    l->size = panels_padded(hidden);
    const float *hh = weights_matrix(w, n, hidden, "%s.weight_hh%s", prefix, suffix);
    const float *b_hh = weights_floats(w, SHAPE(n), "%s.bias_hh%s", prefix, suffix);
    l->recurrent = gates_load(w, l, hidden, hh, b_hh);
}

void gru_cell_load(struct gru_cell *l, struct weights *w, size_t n_in, size_t hidden,
                   const char *prefix, const char *suffix)
{
    size_t n = N_GATES * hidden;
    const float *ih = weights_matrix(w, n, n_in, "%s.weight_ih%s", prefix, suffix);
    const float *b_ih = weights_floats(w, SHAPE(n), "%s.bias_ih%s", prefix, suffix);
    gru_cell_load_recurrent(l, w, hidden, prefix, suffix);
    l->n_in = n_in;
    l->input = gates_load(w, l, n_in, ih, b_ih);
}

void gru_cell_load_blocks(struct gru_cell *l, struct blocks *blocks, struct weights *w,
                          struct item_window window, size_t n_in, const char *prefix,
                          const char *suffix)
{
    size_t n = N_GATES * l->hidden;
    const float *ih = weights_matrix(w, n, n_in, "%s.weight_ih%s", prefix, suffix);
    const float *b_ih = weights_floats(w, SHAPE(n), "%s.bias_ih%s", prefix, suffix);
    struct panel_source rows = {.rows = N_GATES * l->size, .cols = n_in};
    rows.weight = gates_spread(w, N_GATES, l->hidden, n_in, ih);
    l->n_in = n_in;
    blocks_load(blocks, w, window, rows, gates_spread(w, N_GATES, l->hidden, 1, b_ih));
}

void gru_cell_follow(const struct gru_cell *l, size_t i, float *h, const float *given,
                     float *scratch)
{
    float *next = scratch, *sums = next + l->size; /* [size], [3 size] */
    kernels_get()->gru_step(next, &l->recurrent, h, given, i % 2, sums);
    memcpy(h, next, l->size * sizeof *h);
}

void gru_cell_forward(const struct gru_cell *l, float *h, const float *given, float *scratch)
{
    gru_cell_follow(l, 0, h, given, scratch);
}

void gru_cell_gates(const struct gru_cell *l, float *h, float *given, const float *sums)
{
    const struct kernels *k = kernels_get();
    size_t n = l->size;
    float *r = given, *z = r + n, *fresh = z + n;
    for (size_t i = 0; i < 2 * n; i++) given[i] += sums[i];
    k->sigmoid(r, 2 * n);
    for (size_t i = 0; i < n; i++) fresh[i] += r[i] * sums[2 * n + i];
    k->tanh(fresh, n);
    for (size_t i = 0; i < n; i++) h[i] = (1.0f - z[i]) * fresh[i] + z[i] * h[i];
}
