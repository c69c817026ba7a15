/* dense: y = W x + b; session: the same with the weights of one of the file's sessions. */
#include <stdio.h>

#include "layers/kinds.h"
#include "layers/layers.h"

void *dense_load(struct kind_load *l)
{
    struct linear dense;
    linear_load(&dense, l->w, kind_width(l), l->inputs[0].width, l->name);
    return arena_copy(l->w->arena, &dense, sizeof dense);
}

/* The rows of one session of "<name>.weight" [sessions W, X] and "<name>.bias" [sessions W]. */
void *session_load(struct kind_load *l)
{
    size_t n_out = kind_width(l), n_in = l->inputs[0].width, n = l->n_sessions * n_out;
    struct linear dense = {.n_out = n_out, .n_in = n_in};
    if (!l->n_sessions) {
        fields_refuse(
            l->keys, LATENT_E_CONFIG, "kind",
            "expected \"sessions\" in latent.config.hyper, whose weights it chooses from");
        return NULL;
    }
    const float *weight = weights_matrix(l->w, n, n_in, "%s.weight", l->name);
    const float *bias = weights_floats(l->w, SHAPE(n), "%s.bias", l->name);
    bool here = weight && bias;
    dense.bias = here ? bias + l->session * n_out : NULL;
    dense.packed = panels_load(l->w, n_out, n_in, here ? weight + l->session * n_out * n_in : NULL,
                               dense.bias);
    return arena_copy(l->w->arena, &dense, sizeof dense);
}

void dense_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    (void)memory;
    (void)due;
    linear_forward(layer, y, x[0]);
}
