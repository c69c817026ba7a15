/* lstm: layers of torch's LSTM cell, the output that of the last.
 *
 *   i, f, o = sigmoid(W x + b + U h + c)      g = tanh(W x + b + U h + c)
 *   s = f s + i g                             h = o tanh(s) */
#include <string.h>

#include "layers/kinds.h"
#include "layers/layers.h"

#define MAX_LAYERS 8

struct lstm {
    size_t n_layers, hidden;       /* -, H */
    const float *initial, *before; /* [layers, H] of h and s, or NULL: zeros */
    struct panels input[MAX_LAYERS], recurrent[MAX_LAYERS]; /* [4 H, X], [4 H, H]: i, f, g, o */
};

struct lstm_memory {
    float *h, *s;            /* [layers, H] */
    float *gates, *squashed; /* [4 H], [H] */
};

void *lstm_load(struct kind_load *l)
{
    struct lstm m = {.hidden = kind_width(l)};
    m.n_layers = (size_t)fields_int(l->keys, "layers", 1, MAX_LAYERS);
    for (unsigned k = 0; k < m.n_layers && !l->keys->status; k++)
        kind_recurrent(l, &m.input[k], &m.recurrent[k], k, 4 * m.hidden, m.hidden);
    m.initial = kind_initial(l, "h0", m.n_layers, m.hidden);
    m.before = kind_initial(l, "c0", m.n_layers, m.hidden);
    return arena_copy(l->w->arena, &m, sizeof m);
}

void *lstm_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct lstm *l = layer;
    struct lstm_memory m = {.h = arena_floats(state, l->n_layers * l->hidden),
                            .s = arena_floats(state, l->n_layers * l->hidden),
                            .gates = arena_floats(work, 4 * l->hidden),
                            .squashed = arena_floats(work, l->hidden)};
    return arena_copy(work, &m, sizeof m);
}

void lstm_reset(const void *layer, void *memory)
{
    const struct lstm *l = layer;
    struct lstm_memory *m = memory;
    kind_begin(m->h, l->hidden, l->initial, l->n_layers, l->hidden);
    kind_begin(m->s, l->hidden, l->before, l->n_layers, l->hidden);
}

static void cell_step(const struct lstm *l, size_t k, struct lstm_memory *m, const float *x)
{
    const struct kernels *kernels = kernels_get();
    size_t n = l->hidden;
    float *h = m->h + k * n, *s = m->s + k * n;
    float *i_gate = m->gates, *forget = i_gate + n, *fresh = forget + n, *out = fresh + n;
    kernels->matvec(m->gates, &l->input[k], x);
    kernels->matvec_add(m->gates, &l->recurrent[k], h);
    kernels->sigmoid(i_gate, 2 * n);
    kernels->tanh(fresh, n);
    kernels->sigmoid(out, n);
    for (size_t i = 0; i < n; i++) m->squashed[i] = s[i] = forget[i] * s[i] + i_gate[i] * fresh[i];
    kernels->tanh(m->squashed, n);
    for (size_t i = 0; i < n; i++) h[i] = out[i] * m->squashed[i];
}

void lstm_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct lstm *l = layer;
    struct lstm_memory *m = memory;
    (void)due;
    for (size_t k = 0; k < l->n_layers; k++)
        cell_step(l, k, m, k ? m->h + (k - 1) * l->hidden : x[0]);
    memcpy(y, m->h + (l->n_layers - 1) * l->hidden, l->hidden * sizeof *y);
}
