/* Normalisation that the model file declares (latent.config.normalise), channel by channel:
 *
 *   z = (x - mean) / (sd + eps), in float64; |z| beyond `outlier` becomes 0; a masked channel is 0
 *
 *   fixed          mean and sd are those of the file
 *   ewma           after each bin, with a = 1 - exp(-bin / tau) and the old mean on the right:
 *                    mean += a (x - mean), sd^2 += a ((x - mean)^2 - sd^2)
 *                  |mean - mean of the file| <= bound x its sd, sd within a third and three times
 *   window-trials  after each trial: mean and sd over all bins of the last `window_trials` = W
 *                  trials; while there are only n < `min_trials` = M, (n x these + (M - n) x those
 *                  of the start) / M, the start being the file's, or what was loaded
 *
 * Learnt from: bins that came and were not clipped, in channels that are not masked, unless the
 * caller says no (latent_bin.no_learning) or it is frozen. A trial begins with trial_start and ends
 * after the bin with trial_end, or before the next trial_start; bins outside of one teach nothing.
 * Kept of a trial are n and the sums of x - m and (x - m)^2, m the mean of the file. */
#ifndef LATENT_NORMALISE_H
#define LATENT_NORMALISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fields.h"
#include "latent.h"

struct normalise_rules {
    uint32_t kind;           /* enum latent_normalise */
    const double *mean, *sd; /* [C] of the file */
    double eps, outlier;     /* outlier: INFINITY: none */
    double share, bound;     /* a, bound (ewma) */
    size_t window_trials, min_trials;
};

/* Bytes of arrays that normalise_read takes. */
size_t normalise_array_bytes(size_t n_channels);
/* The object "normalise"; mistakes go into c. */
void normalise_read(struct normalise_rules *r, struct fields *c, size_t n_channels,
                    uint32_t bin_width_us, struct arena *arrays);

struct normalise {
    const struct normalise_rules *rules;
    size_t n_channels; /* C */
    /* In the state arena. */
    uint32_t *flags;  /* [2]: frozen, in a trial */
    uint64_t *counts; /* [3]: version, place in the ring, trials in it */
    double *mean;     /* [C] in use */
    double *spread;   /* [C] sd; ewma: sd^2 */
    double *start;    /* [2, C] mean and sd of the start; window-trials alone */
    double *n_bins;   /* [W + 1, C] of each trial of the ring, then of the one that goes on */
    double *sum;      /* the same, of x - m */
    double *square;   /* the same, of (x - m)^2 */
    size_t n_bounded; /* channels at a bound now */
};

void normalise_init(struct normalise *s, const struct normalise_rules *rules, size_t n_channels,
                    struct arena *state);
/* As the file has it. */
void normalise_clear(struct normalise *s);
/* The state came from outside: what cannot be is made harmless. */
void normalise_loaded(struct normalise *s);
/* z [C] of x [C], where masked [C] (NULL: none) is 0. */
void normalise_run(const struct normalise *s, float *z, const float *x, const uint32_t *masked);
/* A bin was taken: before it and after it. teaches: something may be learnt from it. */
void normalise_begin_bin(struct normalise *s, uint32_t marks);
void normalise_end_bin(struct normalise *s, const float *x, const uint32_t *masked, uint32_t marks,
                       bool teaches);
/* Would LOAD of them be done? See latent_model_takes_normalisation. */
int normalise_takes(const struct normalise_rules *r, size_t n_channels, const double *mean,
                    const double *sd, size_t n);
/* See latent_decoder_normalise. */
int normalise_act(struct normalise *s, uint32_t act, const double *mean, const double *sd,
                  size_t n);
/* mean, sd [C] in use; NULL: not wanted. */
void normalise_tell(const struct normalise *s, struct latent_normalisation *out, double *mean,
                    double *sd);

#endif
