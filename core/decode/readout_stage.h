/* The readout stage: behaviour from the latents or rates of any architecture.
 *
 *   s_t = sum over k of a^k x_t-k / sum over k of a^k        a = exp(-bin / tau)
 *   z_t = scale (s_t - mean)
 *   y_t = bias + sum over lags k of W_k z_t-k
 *
 * The first sum runs over the bins since the reset, so the first bin is its own average; lags
 * before the reset count as z = 0, the training mean (WARMUP until there are none). A predicted
 * bin enters like any other.
 *
 * All in float64, since smoothed lags are nearly collinear and their weights large and of both
 * signs. Order of summation: the bias, then lag by lag, newest first, inputs ascending.
 * State: (K + 1) D + 2 numbers. Multiply-adds per bin: O K D. */
#ifndef LATENT_READOUT_STAGE_H
#define LATENT_READOUT_STAGE_H

#include <stdbool.h>

#include "base/fields.h"
#include "base/weights.h"
#include "models/model.h"

struct readout_stage {
    size_t n_inputs, n_lags, n_readout; /* D, K, O; K 0: the file has no stage */
    bool from_rates;                    /* x: expected counts per bin, else latents */
    double decay;                       /* a */
    const double *mean, *scale;         /* [D] */
    const double *weight;               /* [O, K, D], lag 0 = newest */
    const double *bias;                 /* [O] */
};

/* Carried from bin to bin: lies in the state arena, so snapshots hold it. */
struct readout_stage_state {
    uint64_t *n_bins; /* since the reset */
    double *n_eff;    /* sum over k of a^k */
    double *sum;      /* [D] sum over k of a^k x_{t-k} */
    double *history;  /* [K, D] ring of z */
};

/* Bind latent.config.stage and the tensors stage.*. n_readout: what outputs.readout
 * describes. dims as the architecture gave them; on success dims->n_readout is the
 * stage's. Errors go to c or w; runs over a counting arena first, as every load. */
void readout_stage_load(struct readout_stage *s, struct weights *w, struct fields *c,
                        size_t n_readout, struct model_dims *dims);
/* Of a file without a stage nothing is carved, and nothing below may be called. */
void readout_stage_init(struct readout_stage_state *state, const struct readout_stage *s,
                        struct arena *memory);
void readout_stage_reset(const struct readout_stage *s, struct readout_stage_state *state);
/* One bin: readout [O] from x [D]. Returns LATENT_WARMUP until the lags are filled. */
uint32_t readout_stage_step(const struct readout_stage *s, struct readout_stage_state *state,
                            float *readout, const float *x);

#endif
