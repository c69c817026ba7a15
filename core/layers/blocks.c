/* Blocks of a window's product, and when they are made. */
#include "layers/blocks.h"

#include "kernels/kernels.h"

/* How many items come before the window is full: the one that is due now, or the next. */
static uint64_t items_missing(const struct item_window *w, uint64_t n_items, bool is_due)
{
    if (is_due) return 0;
    if (n_items < w->n) return w->n - n_items;
    uint64_t past = (n_items - w->n) % w->stride;
    return w->stride - past;
}

void blocks_load(struct blocks *b, struct weights *w, struct item_window window,
                 struct panel_source weight, const float *bias)
{
    size_t width = weight.cols / window.n;
    struct panels *panels = arena_take(w->arena, window.n * sizeof *panels);
    for (size_t k = 0; k < window.n; k++) {
        weight.first = k * width;
        weight.n = width;
        struct panels block = panels_pack_columns(w->arena, w->precision, &weight, k ? NULL : bias);
        if (panels) panels[k] = block;
    }
    *b = (struct blocks){window, panels};
}

size_t blocks_present(const struct blocks *b, const struct item_ring *ring)
{
    uint64_t missing = items_missing(&b->window, *ring->n_items, false);
    return missing < b->window.n ? b->window.n - (size_t)missing : 0;
}

void blocks_add(const struct blocks *b, const struct item_ring *ring, size_t k, float *sum,
                bool is_due)
{
    uint64_t n_items = *ring->n_items;
    uint64_t item = n_items + items_missing(&b->window, n_items, is_due) - b->window.n + k;
    const float *x = window_row(&ring->items, item);
    if (k)
        kernels_get()->matvec_add(sum, &b->panels[k], x);
    else
        kernels_get()->matvec(sum, &b->panels[0], x);
}

size_t ahead_done(const struct ahead_plan *p, uint64_t i, uint64_t stride, size_t n_present)
{
    size_t n = p->n_first + (p->n_blocks < n_present ? p->n_blocks : n_present);
    uint64_t all = p->n_first * p->first_cost + p->n_blocks * p->block_cost + p->last_cost;
    uint64_t due = all / stride * i, done = 0;
    for (size_t k = 0; k < n; k++) {
        uint64_t cost = k < p->n_first ? p->first_cost : p->block_cost;
        if (done + cost / 2 > due) return k;
        done += cost;
    }
    return n;
}
