/* gru: layers of GRU cells, the output that of the last.
 *
 *   r = gate(W x + b + U h + c)
 *   z = gate(W x + b + U h + c)
 *   n = tanh(W x + b + r (U h + c))      reset after (torch), or
 *   n = tanh(W x + b + U (r h) + c)      reset before (Keras of old)
 *   h = (1 - z) n + z h
 *
 * gate: sigmoid, or Keras' hard sigmoid, 0.2 x + 0.5 between 0 and 1. Torch's own cell takes one
 * pass over its recurrent matrix (gru_cell.h).
 *
 * Where items come less often than bins, torch's cell makes U h + c in the bins between, of every
 * layer, and each kind the first layer's W x of a window item by item (blocks.h). */
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
    struct blocks blocks;   /* of the first layer's input */
    struct ahead_plan plan; /* n_first: U h + c are sums of their own */
};

struct gru_memory {
    float *h; /* [layers, size] */
    float *given, *scratch;
    const struct item_ring *items; /* of the window */
    float *sums;                   /* U h + c [layers, 3 size] */
    float *first;                  /* W x + b of the first layer [3 size] */
    size_t n_done;                 /* of these: sums, then blocks of first */
};

static bool is_torch(const struct gru *g)
{
    return !g->before && !g->hard;
}

static void general_load(struct kind_load *l, struct gru *g, size_t n_in, unsigned k)
{
    struct general_cell *c = &g->general[k];
    struct weights *w = l->w;
    size_t hidden = g->hidden, n = 3 * hidden, n_gates = 2 * hidden;
    const float *ih = weights_matrix(w, n, n_in, "%s.weight_ih_l%u", l->name, k);
    const float *hh = weights_matrix(w, n, hidden, "%s.weight_hh_l%u", l->name, k);
    const float *b_ih = weights_floats(w, SHAPE(n), "%s.bias_ih_l%u", l->name, k);
    const float *b_hh = weights_floats(w, SHAPE(n), "%s.bias_hh_l%u", l->name, k);
    bool here = hh && b_hh;
    if (k == 0 && l->window.n)
        blocks_load(&g->blocks, w, l->window,
                    (struct panel_source){.weight = ih, .rows = n, .cols = n_in}, b_ih);
    else
        c->input = panels_load(w, n, n_in, ih, b_ih);
    c->gates = panels_load(w, n_gates, hidden, hh, b_hh);
    c->fresh = panels_load(w, hidden, hidden, here ? hh + n_gates * hidden : NULL,
                           here ? b_hh + n_gates : NULL);
}

static void torch_load(struct kind_load *l, struct gru *g, size_t n_in, unsigned k)
{
    char suffix[16];
    snprintf(suffix, sizeof suffix, "_l%u", k);
    if (k || !l->window.n) {
        gru_cell_load(&g->torch[k], l->w, n_in, g->hidden, l->name, suffix);
        return;
    }
    gru_cell_load_recurrent(&g->torch[k], l->w, g->hidden, l->name, suffix);
    gru_cell_load_blocks(&g->torch[k], &g->blocks, l->w, l->window, n_in, l->name, suffix);
}

/* What can be made before an item comes, and what it costs. */
static struct ahead_plan plan_make(const struct kind_load *l, const struct gru *g)
{
    uint64_t state = 3 * (uint64_t)g->size * g->hidden;
    uint64_t input = 3 * (uint64_t)g->size * l->inputs[0].width;
    struct ahead_plan p = {.first_cost = state, .last_cost = input + (g->n_layers - 1) * state};
    if (is_torch(g) && l->inputs[0].stride > 1)
        p.n_first = g->n_layers;
    else
        p.last_cost += g->n_layers * state;
    if (!l->window.n) return p;
    p.n_blocks = l->window.n - 1;
    p.block_cost = input / l->window.n;
    p.last_cost -= p.n_blocks * p.block_cost;
    return p;
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
        if (is_torch(&g))
            torch_load(l, &g, n_in, k);
        else
            general_load(l, &g, n_in, k);
    }
    g.plan = plan_make(l, &g);
    g.initial = kind_initial(l, "h0", g.n_layers, g.hidden);
    return arena_copy(l->w->arena, &g, sizeof g);
}

void *gru_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct gru *g = layer;
    struct gru_memory m = {.h = arena_floats(state, g->n_layers * g->size),
                           .given = arena_floats(work, 3 * g->size),
                           .scratch = arena_floats(work, GRU_CELL_SCRATCH(g->size))};
    if (g->plan.n_first) m.sums = arena_floats(work, g->n_layers * 3 * g->size);
    if (g->blocks.window.n) m.first = arena_floats(work, 3 * g->size);
    return arena_copy(work, &m, sizeof m);
}

void gru_reset(const void *layer, void *memory)
{
    const struct gru *g = layer;
    struct gru_memory *m = memory;
    kind_begin(m->h, g->size, g->initial, g->n_layers, g->hidden);
}

void gru_bind(void *memory, const struct item_ring *items)
{
    struct gru_memory *m = memory;
    m->items = items;
}

static void gru_advance(const struct gru *g, struct gru_memory *m, size_t n, bool is_due)
{
    for (size_t k; m->n_done < n; m->n_done++)
        if ((k = m->n_done) < g->plan.n_first)
            kernels_get()->matvec(m->sums + k * 3 * g->size, &g->torch[k].recurrent,
                                  m->h + k * g->size);
        else
            blocks_add(&g->blocks, m->items, k - g->plan.n_first, m->first, is_due);
}

void gru_ahead(const void *layer, void *memory, uint64_t i, uint64_t stride)
{
    const struct gru *g = layer;
    struct gru_memory *m = memory;
    size_t n_present = g->blocks.window.n ? blocks_present(&g->blocks, m->items) : 0;
    if (i == 0)
        m->n_done = 0;
    else
        gru_advance(g, m, ahead_done(&g->plan, i, stride, n_present), false);
}

/* h [H] from given [3 H], which is replaced; scratch [2 H]. */
static void general_step(const struct gru *g, const struct general_cell *c, float *h,
                         const struct gru_memory *m)
{
    const struct kernels *k = kernels_get();
    size_t n = g->hidden;
    float *r = m->given, *z = r + n, *fresh = z + n, *part = m->scratch;
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

static void layer_step(const struct gru *g, struct gru_memory *m, size_t k, const float *below)
{
    float *h = m->h + k * g->size;
    if (k == 0 && g->blocks.window.n)
        memcpy(m->given, m->first, 3 * g->size * sizeof *m->given);
    else
        kernels_get()->matvec(m->given, is_torch(g) ? &g->torch[k].input : &g->general[k].input,
                              below);
    if (!is_torch(g))
        general_step(g, &g->general[k], h, m);
    else if (g->plan.n_first)
        gru_cell_gates(&g->torch[k], h, m->given, m->sums + k * 3 * g->size);
    else
        gru_cell_forward(&g->torch[k], h, m->given, m->scratch);
}

void gru_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct gru *g = layer;
    struct gru_memory *m = memory;
    const float *below = x[0];
    (void)due;
    gru_advance(g, m, g->plan.n_first + g->blocks.window.n, true);
    for (size_t k = 0; k < g->n_layers; k++) {
        layer_step(g, m, k, below);
        below = m->h + k * g->size;
    }
    memcpy(y, below, g->hidden * sizeof *y);
    m->n_done = 0;
}
