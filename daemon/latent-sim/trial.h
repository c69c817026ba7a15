/* Trials of a simulated brain: their shape, their buffers, and what the kinds compute alike. */
#ifndef SIM_TRIAL_H
#define SIM_TRIAL_H

#include <stddef.h>
#include <stdint.h>

#include "latent-sim/rng.h"

/* Streams of the recipe's seed. */
enum trial_stream {
    TRIAL_STREAM_POPULATION, /* tuning, loadings, initial conditions */
    TRIAL_STREAM_DATASET,    /* trials and spikes of the data set */
    TRIAL_STREAM_CALIBRATION,
    TRIAL_STREAM_LIVE, /* trials and spikes of live mode */
};

#define TRIAL_ANY_CONDITION UINT32_MAX

struct trial_readout {
    const char *name, *unit;
};

struct trial_shape {
    uint32_t n_channels, n_bins, n_latents, n_readout, n_positions;
    uint32_t bin_width_us;
    uint32_t n_conditions; /* of trials that can be had by number; 1: they vary freely */
    int each_once;         /* in a data set a condition is one trial, and never recurs */
    const struct trial_readout *readout;      /* [n_readout] */
    const double *latent_mean, *latent_scale; /* [n_latents]: state = mean + scale latent */
};

/* One trial, owned by the caller; rows are bins. */
struct trial {
    uint32_t condition;
    float *counts;   /* expected counts per bin [n_bins][n_channels] */
    float *latents;  /* [n_bins][n_latents] */
    float *readout;  /* [n_bins][n_readout] */
    float *position; /* mm [n_bins][n_positions] */
};

int trial_new(struct trial *trial, const struct trial_shape *shape);
void trial_free(struct trial *trial);

/* Gives each column of states [n_rows][n_states] mean 0 and variance 1; mean and sd are what was
 * taken out. */
void states_standardise(double *states, size_t n_rows, int n_states, double *mean, double *sd);

#endif
