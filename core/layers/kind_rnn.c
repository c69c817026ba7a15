/* rnn: layers of h = f(W x + b + U h + c), f tanh or relu; the output is that of the last. */
#include <string.h>

#include "layers/kinds.h"
#include "layers/layers.h"

#define MAX_LAYERS 8

struct rnn {
    size_t n_layers, hidden; /* -, H */
    bool rectified;
    const float *initial;                                   /* [layers, H] or NULL: zeros */
    struct panels input[MAX_LAYERS], recurrent[MAX_LAYERS]; /* [H, X], [H, H] */
};

struct rnn_memory {
    float *h;   /* [layers, H] */
    float *sum; /* [H] */
};

void *rnn_load(struct kind_load *l)
{
    static const char *const functions[] = {"tanh", "relu", NULL};
    struct rnn m = {.hidden = kind_width(l)};
    m.n_layers = (size_t)fields_int(l->keys, "layers", 1, MAX_LAYERS);
    m.rectified = fields_choice(l->keys, "function", functions) == 1;
    for (unsigned k = 0; k < m.n_layers && !l->keys->status; k++)
        kind_recurrent(l, &m.input[k], &m.recurrent[k], k, m.hidden, m.hidden);
    m.initial = kind_initial(l, "h0", m.n_layers, m.hidden);
    return arena_copy(l->w->arena, &m, sizeof m);
}

void *rnn_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct rnn *l = layer;
    struct rnn_memory m = {.h = arena_floats(state, l->n_layers * l->hidden),
                           .sum = arena_floats(work, l->hidden)};
    return arena_copy(work, &m, sizeof m);
}

void rnn_reset(const void *layer, void *memory)
{
    const struct rnn *l = layer;
    struct rnn_memory *m = memory;
    kind_begin(m->h, l->hidden, l->initial, l->n_layers, l->hidden);
}

void rnn_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct rnn *l = layer;
    struct rnn_memory *m = memory;
    const float *below = x[0];
    (void)due;
    for (size_t k = 0; k < l->n_layers; k++) {
        float *h = m->h + k * l->hidden;
        kernels_get()->matvec(m->sum, &l->input[k], below);
        kernels_get()->matvec_add(m->sum, &l->recurrent[k], h);
        if (l->rectified)
            relu(m->sum, l->hidden);
        else
            kernels_get()->tanh(m->sum, l->hidden);
        memcpy(h, m->sum, l->hidden * sizeof *h);
        below = h;
    }
    memcpy(y, below, l->hidden * sizeof *y);
}
