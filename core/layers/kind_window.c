/* window: the newest items side by side, oldest first; taps: their weighted sum, channel by channel
 * with the same weights, zeros before the first item. */
#include <string.h>

#include "layers/kinds.h"

struct history {
    size_t n, n_rows;    /* X, items that are kept */
    const float *weight; /* [rows] of taps, the newest item's first */
};

void *window_load(struct kind_load *l)
{
    struct history h = {.n = l->inputs[0].width};
    h.n_rows = (size_t)fields_int(l->keys, "items", 1, KIND_MAX_TAPS);
    uint64_t stride = (uint64_t)fields_int(l->keys, "stride", 1, KIND_MAX_TAPS);
    l->out->width = h.n_rows * h.n;
    l->out->first += (h.n_rows - 1) * l->out->stride;
    l->out->stride *= stride;
    return arena_copy(l->w->arena, &h, sizeof h);
}

void *taps_load(struct kind_load *l)
{
    struct history h = {.n = l->inputs[0].width};
    h.n_rows = (size_t)fields_int(l->keys, "taps", 1, KIND_MAX_TAPS);
    uint64_t ahead = (uint64_t)fields_int(l->keys, "look_ahead", 0, (long long)h.n_rows - 1);
    h.weight = weights_floats(l->w, SHAPE(h.n_rows), "%s.weight", l->name);
    l->out->delay += ahead * l->out->stride;
    l->out->first += ahead * l->out->stride;
    return arena_copy(l->w->arena, &h, sizeof h);
}

void *history_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct history *h = layer;
    struct item_ring m = {.n_items = arena_counts(state, 1)};
    window_init(&m.items, h->n_rows, h->n, state);
    return arena_copy(work, &m, sizeof m);
}

void history_reset(const void *layer, void *memory)
{
    const struct history *h = layer;
    struct item_ring *m = memory;
    *m->n_items = 0;
    memset(m->items.rows, 0, h->n_rows * h->n * sizeof *m->items.rows);
}

/* Puts x in; returns its number. */
static uint64_t item_push(const struct history *h, struct item_ring *m, const float *x)
{
    uint64_t t = (*m->n_items)++;
    memcpy(window_row(&m->items, t), x, h->n * sizeof *x);
    return t;
}

void window_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct history *h = layer;
    struct item_ring *m = memory;
    uint64_t t = item_push(h, m, x[0]);
    for (size_t k = 0; due && k < h->n_rows; k++)
        memcpy(y + k * h->n, window_row(&m->items, t + 1 + k), h->n * sizeof *y);
}

const struct item_ring *window_items(const void *memory)
{
    return memory;
}

void taps_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct history *h = layer;
    struct item_ring *m = memory;
    uint64_t t = item_push(h, m, x[0]) + h->n_rows; /* the same row; none is below zero */
    if (!due) return;
    for (size_t i = 0; i < h->n; i++) {
        double sum = 0.0;
        for (size_t k = 0; k < h->n_rows; k++)
            sum += (double)h->weight[k] * (double)window_row(&m->items, t - k)[i];
        y[i] = (float)sum;
    }
}
