/* The GRU cell of LFADS: gates in the order z, r, n; the reset gate before the recurrent product;
 * the state clipped.
 *
 *   z = sigmoid(W x + b + U h)
 *   r = sigmoid(W x + b + U h)
 *   n = tanh   (W x + b + U (r h))
 *   h = clip((1 - z) n + z h)
 *
 * W x + b does not depend on the state: callers compute it for whole windows, or once per bin and
 * keep it. Every gate and the state are filled up with zeros to whole units of 16 (size). */
#ifndef LATENT_CLIPPED_GRU_H
#define LATENT_CLIPPED_GRU_H

#include "layers/layers.h"
#include "layers/window.h"

struct clipped_gru {
    size_t n_in, hidden, size;  /* size: hidden, rounded up to 16 */
    const float *weight;        /* W [3 size, n_in]: z, r, n; during load only */
    const float *bias;          /* b [3 size], the recurrent bias included */
    struct clipped_gates gates; /* U [2 size and size, hidden]; |h| <= clip */
};

/* Takes <prefix>.weight_ih, .weight_hh, .bias_ih, .bias_hh. */
void clipped_gru_load(struct clipped_gru *l, struct weights *w, size_t n_in, size_t hidden,
                      float clip, const char *prefix);
/* The product with inputs first .. first + n - 1 alone; bias: added to it, or NULL. */
struct panels clipped_gru_input(const struct clipped_gru *l, struct weights *w, size_t first,
                                size_t n, const float *bias);

#define CLIPPED_GRU_SCRATCH(size) (3 * (size))
/* One step: h [size] is replaced, given = W x + b [3 size]. */
void clipped_gru_forward(const struct clipped_gru *l, float *h, const float *given, float *scratch);

#endif
