/* conv1d: a convolution over the newest items, `dilation` items apart.
 *
 *   y_k = b + sum over j < taps of W_j x_(k stride + (j + 1 - taps) dilation + look_ahead)
 *
 * With padding "zeros" items before the first one are zeros, as torch pads on the left; with "none"
 * there is nothing until the taps are full. Items after x_k come later: they make the delay longer.
 * Groups are few numbers each, so they are summed as they lie and stay float32. */
#include <string.h>

#include "layers/kinds.h"
#include "layers/layers.h"
#include "layers/window.h"

struct conv1d {
    size_t n_in, n_out, n_taps, dilation, n_groups, span; /* span: items that are kept */
    struct panels packed; /* [W, taps X], oldest item first; of one group */
    const float *weight;  /* [W, taps X / groups], of several */
    const float *bias;    /* [W] */
};

struct conv1d_memory {
    struct window items; /* [span, X] */
    uint64_t *n_items;
    float *taken; /* [taps, X]: those under the taps */
};

/* The matrix as it is, kept: it may be stored in the precision that is loaded. */
static const float *groups_keep(struct weights *w, const float *weight, size_t n)
{
    float *kept = arena_floats(w->arena, n);
    if (kept && weight) memcpy(kept, weight, n * sizeof *kept);
    return kept;
}

static void weights_bind(struct kind_load *l, struct conv1d *c)
{
    size_t cols = c->n_taps * c->n_in / c->n_groups;
    const float *weight = weights_matrix(l->w, c->n_out, cols, "%s.weight", l->name);
    c->bias = weights_floats(l->w, SHAPE(c->n_out), "%s.bias", l->name);
    if (c->n_groups == 1)
        c->packed = panels_load(l->w, c->n_out, cols, weight, c->bias);
    else
        c->weight = groups_keep(l->w, weight, c->n_out * cols);
}

void *conv1d_load(struct kind_load *l)
{
    static const char *const paddings[] = {"zeros", "none", NULL};
    struct conv1d c = {.n_in = l->inputs[0].width, .n_out = kind_width(l)};
    c.n_taps = (size_t)fields_int(l->keys, "taps", 1, KIND_MAX_TAPS);
    c.dilation = (size_t)fields_int(l->keys, "dilation", 1, KIND_MAX_TAPS);
    c.n_groups = (size_t)fields_int(l->keys, "groups", 1, SIGNAL_MAX_WIDTH);
    c.span = (c.n_taps - 1) * c.dilation + 1;
    size_t stride = (size_t)fields_int(l->keys, "stride", 1, KIND_MAX_TAPS);
    size_t ahead = (size_t)fields_int(l->keys, "look_ahead", 0, (long long)KIND_MAX_TAPS);
    bool padded = fields_choice(l->keys, "padding", paddings) == 0;
    if (c.span > KIND_MAX_TAPS || ahead >= c.span)
        fields_refuse(l->keys, LATENT_E_CONFIG, "taps",
                      "expected a span of at most %u items, above \"look_ahead\", found %zu",
                      KIND_MAX_TAPS, c.span);
    else if (c.n_in % c.n_groups || c.n_out % c.n_groups)
        fields_refuse(l->keys, LATENT_E_CONFIG, "groups",
                      "expected a divisor of the widths %zu and %zu, found %zu", c.n_in, c.n_out,
                      c.n_groups);
    if (l->keys->status) return NULL;
    l->out->delay += ahead * l->out->stride;
    l->out->first += (padded ? ahead : c.span - 1) * l->out->stride;
    l->out->stride *= stride;
    weights_bind(l, &c);
    return arena_copy(l->w->arena, &c, sizeof c);
}

void *conv1d_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct conv1d *c = layer;
    struct conv1d_memory m = {.n_items = arena_counts(state, 1),
                              .taken = arena_floats(work, c->n_taps * c->n_in)};
    window_init(&m.items, c->span, c->n_in, state);
    return arena_copy(work, &m, sizeof m);
}

void conv1d_reset(const void *layer, void *memory)
{
    const struct conv1d *c = layer;
    struct conv1d_memory *m = memory;
    *m->n_items = 0;
    memset(m->items.rows, 0, c->span * c->n_in * sizeof *m->items.rows);
}

/* y [W] of several groups: out o reads its group's columns of every tap. */
static void groups_forward(const struct conv1d *c, float *y, const float *taken)
{
    size_t n_in = c->n_in / c->n_groups, n_out = c->n_out / c->n_groups;
    const float *weight = c->weight;
    for (size_t o = 0; o < c->n_out; o++) {
        const float *x = taken + o / n_out * n_in;
        double sum = (double)c->bias[o];
        for (size_t k = 0; k < c->n_taps; k++, x += c->n_in)
            for (size_t i = 0; i < n_in; i++) sum += (double)*weight++ * (double)x[i];
        y[o] = (float)sum;
    }
}

void conv1d_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct conv1d *c = layer;
    struct conv1d_memory *m = memory;
    uint64_t t = (*m->n_items)++;
    memcpy(window_row(&m->items, t), x[0], c->n_in * sizeof *y);
    if (!due) return;
    for (size_t k = 0; k < c->n_taps; k++) /* the oldest tap's row is the one after the newest */
        memcpy(m->taken + k * c->n_in, window_row(&m->items, t + 1 + k * c->dilation),
               c->n_in * sizeof *y);
    if (c->n_groups == 1)
        kernels_get()->matvec(y, &c->packed, m->taken);
    else
        groups_forward(c, y, m->taken);
}
