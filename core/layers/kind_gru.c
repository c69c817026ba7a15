/* gru: layers of GRU cells, the output that of the last.
 *
 *   r = gate(W x + b + U h + c)
 *   z = gate(W x + b + U h + c)
 *   n = tanh(W x + b + r (U h + c))      reset after (torch), or
 *   n = tanh(W x + b + U (r h) + c)      reset before (Keras of old)
 *   h = (1 - z) n + z h
 *
 * gate: sigmoid, or Keras' hard sigmoid, 0.2 x + 0.5 between 0 and 1. Torch's own cell takes one
 * pass over its recurrent matrix (gru_cell.h). */
#include <stdio.h>
#include <string.h>

#include "layers/gru_cell.h"
#include "layers/kinds.h"

#define MAX_LAYERS 8
#define HARD_SLOPE 0.2f

/* A cell of another kind than torch's, its gates' product apart from that of n. */
struct general_cell {
    struct panels input; /* [3 H, X]: r, z, n */
    struct panels gates; /* [2 H, H] */
    struct panels fresh; /* [H, H] */
};

struct gru {
    size_t n_layers, hidden, size; /* -, H, rounded up to 16 */
    bool before, hard;
    const float *initial; /* [layers, H] or NULL: zeros */
    struct gru_cell torch[MAX_LAYERS];
    struct general_cell general[MAX_LAYERS];
};

struct gru_memory {
    float *h; /* [layers, size] */
    float *given, *scratch;
};

static bool is_torch(const struct gru *g)
{
    return !g->before && !g->hard;
}

static void general_load(struct general_cell *c, struct weights *w, size_t n_in, size_t hidden,
                         const char *name, unsigned k)
{
    size_t n = 3 * hidden, n_gates = 2 * hidden;
    const float *ih = weights_matrix(w, n, n_in, "%s.weight_ih_l%u", name, k);
    const float *hh = weights_matrix(w, n, hidden, "%s.weight_hh_l%u", name, k);
    const float *b_ih = weights_floats(w, SHAPE(n), "%s.bias_ih_l%u", name, k);
    const float *b_hh = weights_floats(w, SHAPE(n), "%s.bias_hh_l%u", name, k);
    bool here = hh && b_hh;
    c->input = panels_load(w, n, n_in, ih, b_ih);
    c->gates = panels_load(w, n_gates, hidden, hh, b_hh);
    c->fresh = panels_load(w, hidden, hidden, here ? hh + n_gates * hidden : NULL,
                           here ? b_hh + n_gates : NULL);
}

void *gru_load(struct kind_load *l)
{
    static const char *const resets[] = {"after", "before", NULL};
    static const char *const gates[] = {"sigmoid", "hard_sigmoid", NULL};
    struct gru g = {.hidden = kind_width(l)};
    g.n_layers = (size_t)fields_int(l->keys, "layers", 1, MAX_LAYERS);
    g.before = fields_choice(l->keys, "reset", resets) == 1;
    g.hard = fields_choice(l->keys, "gate", gates) == 1;
    g.size = panels_padded(g.hidden);
    for (unsigned k = 0; k < g.n_layers && !l->keys->status; k++) {
        size_t n_in = k ? g.hidden : l->inputs[0].width;
        char suffix[16];
        snprintf(suffix, sizeof suffix, "_l%u", k);
        if (is_torch(&g))
            gru_cell_load(&g.torch[k], l->w, n_in, g.hidden, l->name, suffix);
        else
            general_load(&g.general[k], l->w, n_in, g.hidden, l->name, k);
    }
    g.initial = kind_initial(l, "h0", g.n_layers, g.hidden);
    return arena_copy(l->w->arena, &g, sizeof g);
}

void *gru_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct gru *g = layer;
    struct gru_memory m = {.h = arena_floats(state, g->n_layers * g->size),
                           .given = arena_floats(work, 3 * g->size),
                           .scratch = arena_floats(work, GRU_CELL_SCRATCH(g->size))};
    return arena_copy(work, &m, sizeof m);
}

void gru_reset(const void *layer, void *memory)
{
    const struct gru *g = layer;
    struct gru_memory *m = memory;
    kind_begin(m->h, g->size, g->initial, g->n_layers, g->hidden);
}

/* h [H] from x; given [3 H], scratch [2 H]. */
static void general_step(const struct gru *g, const struct general_cell *c, float *h,
                         const float *x, const struct gru_memory *m)
{
    const struct kernels *k = kernels_get();
    size_t n = g->hidden;
    float *r = m->given, *z = r + n, *fresh = z + n, *part = m->scratch;
    k->matvec(m->given, &c->input, x);
    k->matvec_add(m->given, &c->gates, h);
    if (g->hard)
        hard_sigmoid_apply(r, 2 * n, HARD_SLOPE);
    else
        k->sigmoid(r, 2 * n);
    if (g->before) {
        for (size_t i = 0; i < n; i++) part[i] = r[i] * h[i];
        k->matvec_add(fresh, &c->fresh, part);
    } else {
        k->matvec(part, &c->fresh, h);
        for (size_t i = 0; i < n; i++) fresh[i] += r[i] * part[i];
    }
    k->tanh(fresh, n);
    for (size_t i = 0; i < n; i++) h[i] = (1.0f - z[i]) * fresh[i] + z[i] * h[i];
}

void gru_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct gru *g = layer;
    struct gru_memory *m = memory;
    const float *below = x[0];
    (void)due;
    for (size_t k = 0; k < g->n_layers; k++) {
        float *h = m->h + k * g->size;
        if (is_torch(g)) {
            kernels_get()->matvec(m->given, &g->torch[k].input, below); /* [3 size] */
            gru_cell_forward(&g->torch[k], h, m->given, m->scratch);
        } else
            general_step(g, &g->general[k], h, below, m);
        below = h;
    }
    memcpy(y, below, g->hidden * sizeof *y);
}
