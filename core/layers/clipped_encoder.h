/* Clipped GRUs over a window, forward and (optionally) backward, each from a learnt start. The
 * products of the input with the weights are kept per bin, since they do not depend on where a
 * window begins. */
#ifndef LATENT_CLIPPED_ENCODER_H
#define LATENT_CLIPPED_ENCODER_H

#include "layers/clipped_gru.h"

enum encoder_direction { ENCODER_FORWARD, ENCODER_BACKWARD };

struct clipped_encoder {
    size_t n_in, hidden; /* hidden 0: there is none */
    size_t n_directions; /* 1: forward only */
    struct clipped_gru cell[2];
    struct panels input[2]; /* W x + b [3 size, n_in] */
    const float *start;     /* [n_directions, hidden] */
};

/* Takes <name>_h0 [n_directions, 1, hidden], <name>.fwd_gru.cell.* and, with two
 * directions, <name>.bwd_gru.cell.*. */
void clipped_encoder_load(struct clipped_encoder *l, struct weights *w, size_t n_in, size_t hidden,
                          size_t n_directions, float clip, const char *name);
const float *clipped_encoder_start(const struct clipped_encoder *l, enum encoder_direction d);

/* Products of the newest bins, per direction. */
struct encoder_window {
    struct window products[2]; /* [n_rows, 3 size] */
};

void encoder_window_init(struct encoder_window *e, const struct clipped_encoder *l, size_t n_rows,
                         struct arena *state);
/* Bin t enters: x [n_in], of which the n elements listed in index are not zero. */
void encoder_window_push(struct encoder_window *e, const struct clipped_encoder *l, uint64_t t,
                         const float *x, const uint32_t *index, size_t n);
/* From the start over the n bins from `first` on, or backward from the last of them: h [size of the
 * cell] becomes the last state. states: NULL, or gets the state [hidden] at bin first + i in row i,
 * with row stride. scratch: CLIPPED_GRU_SCRATCH(size). */
void encoder_window_run(const struct encoder_window *e, const struct clipped_encoder *l,
                        enum encoder_direction d, uint64_t first, size_t n, float *h, float *states,
                        size_t stride, float *scratch);

#endif
