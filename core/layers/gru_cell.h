/* Torch's GRU cell (and a layer of its nn.GRU) with the input product apart, so that a window can
 * keep products.
 *
 *   r = sigmoid(given + U h + c)
 *   z = sigmoid(given + U h + c)
 *   n = tanh   (given + r (U h + c))
 *   h = (1 - z) n + z h
 *
 * Every gate and the state are filled up with zeros to whole units of 16 (size), so that a unit
 * of each gate belongs to the same part of the state. */
#ifndef LATENT_GRU_CELL_H
#define LATENT_GRU_CELL_H

#include "layers/blocks.h"
#include "layers/layers.h"

struct gru_cell {
    size_t n_in, hidden, size; /* size: hidden, rounded up to 16 */
    struct panels input;       /* W x + b [3 size, n_in]: r, z, n */
    struct panels recurrent;   /* U h + c [3 size, hidden] */
};

/* Takes <prefix>.weight_ih<suffix>, .weight_hh<suffix>, .bias_ih<suffix>, .bias_hh<suffix>. */
void gru_cell_load(struct gru_cell *l, struct weights *w, size_t n_in, size_t hidden,
                   const char *prefix, const char *suffix);
/* The same without l->input, and what takes its place: that product of a window, block by block. */
void gru_cell_load_recurrent(struct gru_cell *l, struct weights *w, size_t hidden,
                             const char *prefix, const char *suffix);
void gru_cell_load_blocks(struct gru_cell *l, struct blocks *blocks, struct weights *w,
                          struct item_window window, size_t n_in, const char *prefix,
                          const char *suffix);

#define GRU_CELL_SCRATCH(size) (4 * (size))
/* One step: h [size] is replaced, given = W x + b [3 size]. */
void gru_cell_forward(const struct gru_cell *l, float *h, const float *given, float *scratch);
/* The same with U h + c [3 size] made before: sums. given is replaced. */
void gru_cell_gates(const struct gru_cell *l, float *h, float *given, const float *sums);
/* Step number i of a chain of steps: the same, only faster. */
void gru_cell_follow(const struct gru_cell *l, size_t i, float *h, const float *given,
                     float *scratch);

#endif
