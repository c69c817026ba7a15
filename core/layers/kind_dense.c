/* dense: y = W x + b; session: the same, with weights for each of the file's sessions. */
#include <string.h>

#include "layers/kinds.h"
#include "layers/layers.h"

struct dense {
    struct linear whole;
    struct blocks blocks; /* in its place, behind a window that strides */
};

struct dense_memory {
    const struct item_ring *items;
    float *sum;    /* [W] */
    size_t n_done; /* blocks in it */
};

void *dense_load(struct kind_load *l)
{
    struct dense d = {.whole = {.n_out = kind_width(l), .n_in = l->inputs[0].width}};
    size_t n_out = d.whole.n_out, n_in = d.whole.n_in;
    if (!l->window.n) {
        linear_load(&d.whole, l->w, n_out, n_in, l->name);
        return arena_copy(l->w->arena, &d, sizeof d);
    }
    struct panel_source weight = {.rows = n_out, .cols = n_in};
    weight.weight = weights_matrix(l->w, n_out, n_in, "%s.weight", l->name);
    blocks_load(&d.blocks, l->w, l->window, weight,
                weights_floats(l->w, SHAPE(n_out), "%s.bias", l->name));
    return arena_copy(l->w->arena, &d, sizeof d);
}

void *dense_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct dense *d = layer;
    (void)state;
    if (!d->blocks.window.n) return NULL;
    struct dense_memory m = {.sum = arena_floats(work, panels_padded(d->whole.n_out))};
    return arena_copy(work, &m, sizeof m);
}

void dense_bind(void *memory, const struct item_ring *items)
{
    struct dense_memory *m = memory;
    m->items = items;
}

static void dense_advance(const struct dense *d, struct dense_memory *m, size_t n, bool is_due)
{
    for (; m->n_done < n; m->n_done++) blocks_add(&d->blocks, m->items, m->n_done, m->sum, is_due);
}

void dense_ahead(const void *layer, void *memory, uint64_t i, uint64_t stride)
{
    const struct dense *d = layer;
    struct dense_memory *m = memory;
    size_t n = d->blocks.window.n;
    if (!n) return;
    uint64_t cost = (uint64_t)d->whole.n_out * (d->whole.n_in / n);
    const struct ahead_plan plan = {.n_blocks = n - 1, .block_cost = cost, .last_cost = cost};
    if (i == 0)
        m->n_done = 0;
    else
        dense_advance(d, m, ahead_done(&plan, i, stride, blocks_present(&d->blocks, m->items)),
                      false);
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

void session_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    (void)memory;
    (void)due;
    linear_forward(layer, y, x[0]);
}

void dense_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct dense *d = layer;
    struct dense_memory *m = memory;
    (void)due;
    if (!d->blocks.window.n) {
        linear_forward(&d->whole, y, x[0]);
        return;
    }
    dense_advance(d, m, d->blocks.window.n, true);
    memcpy(y, m->sum, d->whole.n_out * sizeof *y);
    m->n_done = 0;
}
