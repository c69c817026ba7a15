/* Live simulation: trials without end as a stream of bins, the truth beside it. */
#ifndef SIM_LIVE_H
#define SIM_LIVE_H

#include <stdint.h>

#include "latent-sim/world.h"
#include "latent.h"
#include "source/source.h"

#define LIVE_NOISE 20 /* times what a channel gives, and at least as much as 1 a bin */

struct live_options {
    struct source_options source; /* n_channels and bin_width_us are filled in */
    const char *truth;            /* endpoint to bind; NULL: none */
    uint64_t seed;                /* of the trials and spikes */
    uint64_t n_bins;              /* 0: until stopped */
    struct live_faults {
        const char *dead,
            *noisy; /* lists of channels, or NULL: nothing comes; LIVE_NOISE times as much */
        double from_s, seconds; /* of signal; 0: to the end */
    } faults;
};

/* The lists of channels, of which there are n_channels. 0, or negative and a text. */
int live_check_faults(const struct live_faults *faults, uint32_t n_channels,
                      struct latent_error *err);
/* Runs until n_bins are sent or a signal comes; prints a line of statistics. Faults that were
 * checked. */
int live_run(const struct world *world, const struct live_options *options,
             struct latent_error *err);

#endif
