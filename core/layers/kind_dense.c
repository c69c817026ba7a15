/* dense: y = W x + b; session: the same, with weights for each of the file's sessions. */
#include <stdio.h>

#include "layers/kinds.h"
#include "layers/layers.h"

void *dense_load(struct kind_load *l)
{
    struct linear dense;
    linear_load(&dense, l->w, kind_width(l), l->inputs[0].width, l->name);
    return arena_copy(l->w->arena, &dense, sizeof dense);
}

/* Those of each session of "<name>.weight" [sessions W, X] and "<name>.bias" [sessions W], as an
 * array of its own. */
void *session_load(struct kind_load *l)
{
    size_t n_out = kind_width(l), n_in = l->inputs[0].width, n = l->n_sessions;
    if (!n) {
        fields_refuse(
            l->keys, LATENT_E_CONFIG, "kind",
            "expected \"sessions\" in latent.config.hyper, whose weights it chooses from");
        return NULL;
    }
    const float *weight = weights_matrix(l->w, n * n_out, n_in, "%s.weight", l->name);
    const float *bias = weights_floats(l->w, SHAPE(n * n_out), "%s.bias", l->name);
    struct linear *all = arena_take(l->w->arena, n * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        const float *rows = weight && bias ? weight + i * n_out * n_in : NULL;
        struct linear dense = {.n_out = n_out, .n_in = n_in};
        dense.bias = rows ? bias + i * n_out : NULL;
        dense.packed = panels_load(l->w, n_out, n_in, rows, dense.bias);
        if (all) all[i] = dense;
    }
    return all;
}

const void *session_of_session(const void *layer, size_t session)
{
    const struct linear *all = layer;
    return all + session;
}

void dense_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    (void)memory;
    (void)due;
    linear_forward(layer, y, x[0]);
}
