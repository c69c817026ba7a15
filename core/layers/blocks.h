/* The product of a matrix with a window that strides, block by block: each item of the window has
 * its own columns, and its part of the sum is added when there is time for it, oldest item first.
 * Between two windows a layer has `stride - 1` bins for what can be done before the last item comes
 * (kind.h: ahead); how much is done after each of them depends on its number alone, so that live,
 * offline and from a snapshot sums are made in one order. */
#ifndef LATENT_BLOCKS_H
#define LATENT_BLOCKS_H

#include <stdbool.h>

#include "base/weights.h"
#include "kernels/panels.h"
#include "layers/window.h"

/* Items in the order in which they came: the memory of layers that look back. */
struct item_ring {
    struct window items;
    uint64_t *n_items;
};

/* A window [n, X] every `stride` items, whose items are at hand. */
struct item_window {
    size_t n, stride; /* n 0: it is none */
};

struct blocks {
    struct item_window window;   /* n 0: the input is none that strides */
    const struct panels *panels; /* [n] of [rows, X], the oldest item's first, with the bias */
};

/* weight [rows, n X] and bias [rows] as of the whole window, or NULL as in panels_load. */
void blocks_load(struct blocks *b, struct weights *w, struct item_window window,
                 struct panel_source weight, const float *bias);
/* How many items of the window that comes next are there. */
size_t blocks_present(const struct blocks *b, const struct item_ring *ring);
/* sum [rows] is begun with block 0, or gets block k added, of an item that is there: of the window
 * that is due now, or the next. */
void blocks_add(const struct blocks *b, const struct item_ring *ring, size_t k, float *sum,
                bool is_due);

/* What is to be done for an item: n_first parts that need no item, a block for each item of its
 * window, and what can only be done at the end. */
struct ahead_plan {
    size_t n_first, n_blocks;
    uint64_t first_cost, block_cost,
        last_cost; /* multiply-adds: of each part, each block; the end */
};

/* How many parts and blocks are done after bin i (1 .. stride - 1) of the stride, of the blocks
 * those that are present alone: so that every bin of it costs about the same. */
size_t ahead_done(const struct ahead_plan *p, uint64_t i, uint64_t stride, size_t n_present);

#endif
