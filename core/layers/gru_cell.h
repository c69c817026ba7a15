/* Torch's GRU cell with its input product apart, so that a window can keep products.
 *
 *   r, z = sigmoid(given + U h + c)
 *   n = tanh(given + r (U h + c))
 *   h = (1 - z) n + z h */
#ifndef LATENT_GRU_CELL_H
#define LATENT_GRU_CELL_H

#include "layers/layers.h"

struct gru_cell {
    size_t n_in, hidden;
    struct panels input;     /* W x + b [3 hidden, n_in]: r, z, n */
    struct panels recurrent; /* U h + c [3 hidden, hidden] */
};

/* Takes <prefix>.weight_ih<suffix>, .weight_hh<suffix>, .bias_ih<suffix>,
 * .bias_hh<suffix>. */
void gru_cell_load(struct gru_cell *l, struct weights *w, size_t n_in, size_t hidden,
                   const char *prefix, const char *suffix);

#define GRU_CELL_SCRATCH(hidden) (6 * (hidden))
/* One step: h [hidden] is replaced, given = W x + b [3 hidden]. */
void gru_cell_forward(const struct gru_cell *l, float *h, const float *given,
                      float *scratch);

#endif
