/* Buffers of trials, and columns brought to mean 0 and variance 1. */
#include "latent-sim/trial.h"

#include <math.h>
#include <stdlib.h>

#include "latent.h"

int trial_new(struct trial *trial, const struct trial_shape *shape)
{
    size_t n_bins = shape->n_bins;
    /* One more row keeps the absent groups from asking for 0 bytes. */
    trial->counts = calloc(n_bins * shape->n_channels + 1, sizeof(float));
    trial->latents = calloc(n_bins * shape->n_latents + 1, sizeof(float));
    trial->readout = calloc(n_bins * shape->n_readout + 1, sizeof(float));
    trial->position = calloc(n_bins * shape->n_positions + 1, sizeof(float));
    if (trial->counts && trial->latents && trial->readout && trial->position) return 0;
    trial_free(trial);
    return LATENT_E_NOMEM;
}

void trial_free(struct trial *trial)
{
    free(trial->counts);
    free(trial->latents);
    free(trial->readout);
    free(trial->position);
    *trial = (struct trial){0};
}

void states_standardise(double *states, size_t n_rows, int n_states, double *mean, double *sd)
{
    for (int i = 0; i < n_states; i++) {
        double *state = states + i;
        double sum = 0.0, squares = 0.0;
        for (size_t row = 0; row < n_rows; row++) sum += state[row * (size_t)n_states];
        mean[i] = sum / (double)n_rows;
        for (size_t row = 0; row < n_rows; row++) {
            double *x = state + row * (size_t)n_states;
            *x -= mean[i];
            squares += *x * *x;
        }
        sd[i] = squares > 0.0 ? sqrt(squares / (double)n_rows) : 1.0;
        for (size_t row = 0; row < n_rows; row++) state[row * (size_t)n_states] /= sd[i];
    }
}
