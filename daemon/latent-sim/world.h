/* A simulated brain: whole trials of rates from known latents, one recipe kind behind
 * each.
 *
 * A world is fixed by its recipe; what varies from trial to trial is drawn from the
 * caller's generator, so that the same world serves a data set and a live stream. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "latent-sim/recipe.h"
#include "latent-sim/rng.h"
#include "latent.h"

/* Streams of the recipe's seed. */
enum world_stream {
    WORLD_STREAM_POPULATION, /* tuning, loadings, initial conditions */
    WORLD_STREAM_DATASET,    /* trials and spikes of the data set */
    WORLD_STREAM_CALIBRATION,
    WORLD_STREAM_LIVE, /* trials and spikes of live mode */
};

#define WORLD_ANY_CONDITION UINT32_MAX

struct world_readout {
    const char *name, *unit;
};

struct world_shape {
    uint32_t n_channels, n_bins, n_latents, n_readout, n_positions;
    uint32_t bin_width_us;
    uint32_t n_conditions; /* of trials that can be had by number; 1: they vary freely */
    int each_once;         /* in a data set a condition is one trial, and never recurs */
    const struct world_readout *readout;      /* [n_readout] */
    const double *latent_mean, *latent_scale; /* [n_latents]: state = mean + scale latent */
};

/* One trial, owned by the caller; rows are bins. */
struct world_trial {
    uint32_t condition;
    float *counts;   /* expected counts per bin [n_bins][n_channels] */
    float *latents;  /* [n_bins][n_latents] */
    float *readout;  /* [n_bins][n_readout] */
    float *position; /* mm [n_bins][n_positions] */
};

struct world;

struct world *world_new(const struct recipe *recipe); /* NULL: out of memory */
void world_free(struct world *world);
const struct world_shape *world_shape(const struct world *world);

/* Computes a trial. condition: WORLD_ANY_CONDITION draws one. */
void world_trial_make(const struct world *world, struct rng *rng, uint32_t condition,
                      struct world_trial *trial);

int world_trial_new(struct world_trial *trial, const struct world_shape *shape);
void world_trial_free(struct world_trial *trial);

/* Gives each column of states [n_rows][n_states] mean 0 and variance 1; mean and sd are
 * what was taken out. */
void world_standardise(double *states, size_t n_rows, int n_states, double *mean, double *sd);

#endif
