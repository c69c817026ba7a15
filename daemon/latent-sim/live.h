/* Live simulation: trials without end as a stream of bins, the truth beside it. */
#ifndef SIM_LIVE_H
#define SIM_LIVE_H

#include <stdint.h>

#include "latent-sim/world.h"
#include "latent.h"
#include "source/source.h"

struct live_options {
    struct source_options source; /* n_channels and bin_width_us are filled in */
    const char *truth;            /* endpoint to bind; NULL: none */
    uint64_t seed;                /* of the trials and spikes */
    uint64_t n_bins;              /* 0: until stopped */
};

/* Runs until n_bins are sent or a signal comes; prints a line of statistics. */
int live_run(const struct world *world, const struct live_options *options,
             struct latent_error *err);

#endif
