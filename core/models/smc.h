/* What an smc binds: for smc.c, and for the test that gives the filter its draws. */
#ifndef LATENT_SMC_H
#define LATENT_SMC_H

#include "layers/conv.h"
#include "layers/layers.h"
#include "layers/particles.h"

enum smc_proposal { SMC_VARIATIONAL, SMC_BOOTSTRAP };

struct smc {
    size_t n_channels, n_readout; /* C, O */
    enum smc_proposal proposal;
    uint64_t seed;
    struct conv_encoder encoder; /* variational */
    struct particle_filter filter;
    struct linear readout; /* [O, S] */
};

#endif
