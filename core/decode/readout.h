/* The output stage of the readout: neutral value, limits, slew. */
#ifndef LATENT_READOUT_H
#define LATENT_READOUT_H

#include "latent.h"

/* In place: y [n]. last [n] is the value of the bin before (neutral after a reset) and is replaced.
 * bin_s: bin width in seconds. Returns LATENT_LIMITED when anything was changed. */
uint32_t readout_limit(float *y, float *last, const struct latent_readout *spec, size_t n,
                       double bin_s);
/* y [n] and last [n] = neutral */
void readout_neutral(float *y, float *last, const struct latent_readout *spec, size_t n);

#endif
