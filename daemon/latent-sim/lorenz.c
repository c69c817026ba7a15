/* The Lorenz set: every trial follows one of a few fixed trajectories on the attractor;
 * log(expected count) = loading . standardised state + bias. */
#include "latent-sim/lorenz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "latent-sim/flow.h"

#define N_STATES FLOW_STATES
#define BURN_IN_STEP 0.0025 /* Lorenz time */

struct lorenz {
    const struct recipe *recipe;
    double *states;   /* standardised [n_conditions][n_bins][N_STATES] */
    double *loadings; /* [n_channels][N_STATES] */
    double *bias;     /* log expected count [n_channels] */
    double mean[N_STATES], sd[N_STATES];
};

static struct flow lorenz_flow(const struct recipe_lorenz *r)
{
    return (struct flow){flow_lorenz, {r->sigma, r->rho, r->beta}};
}

/* A random point near the attractor, run until it is on it. */
static void initial_draw(const struct recipe_lorenz *r, struct rng *rng, double x[3])
{
    struct flow flow = lorenz_flow(r);
    x[0] = 5.0 * rng_normal(rng);
    x[1] = 5.0 * rng_normal(rng);
    x[2] = 25.0 + 5.0 * rng_normal(rng);
    long n_steps = lround(r->burn_in_time / BURN_IN_STEP);
    for (long i = 0; i < n_steps; i++) flow_step(&flow, BURN_IN_STEP, x);
}

/* Trajectories of all conditions, one row per bin (the state at the bin's start). */
static void trajectories_make(struct lorenz *self, struct rng *rng)
{
    const struct recipe_lorenz *r = &self->recipe->lorenz;
    struct flow flow = lorenz_flow(r);
    double h = r->time_per_bin / r->steps_per_bin;
    double *row = self->states;
    for (uint32_t condition = 0; condition < r->n_conditions; condition++) {
        double x[N_STATES];
        initial_draw(r, rng, x);
        for (uint32_t bin = 0; bin < self->recipe->trial_bins; bin++, row += N_STATES) {
            memcpy(row, x, sizeof x);
            for (uint32_t i = 0; i < r->steps_per_bin; i++) flow_step(&flow, h, x);
        }
    }
}

static double dot3(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* A random direction of fixed length for each neuron, so that all are about equally informative,
 * and the bias that gives it the recipe's mean. */
static void neuron_make(struct lorenz *self, struct rng *rng, size_t n_rows, uint32_t i)
{
    const struct recipe_lorenz *r = &self->recipe->lorenz;
    double *loading = self->loadings + i * N_STATES;
    double norm = 0.0;
    for (int j = 0; j < N_STATES; j++) {
        loading[j] = rng_normal(rng);
        norm += loading[j] * loading[j];
    }
    for (int j = 0; j < N_STATES; j++) loading[j] *= r->loading_norm / sqrt(norm);

    double sum = 0.0;
    for (size_t row = 0; row < n_rows; row++)
        sum += exp(dot3(loading, self->states + row * N_STATES));
    self->bias[i] = log(r->mean_counts_per_bin) - log(sum / (double)n_rows);
}

void *lorenz_new(const struct recipe *recipe, struct trial_shape *shape)
{
    size_t n_rows = (size_t)recipe->lorenz.n_conditions * recipe->trial_bins;
    struct lorenz *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->recipe = recipe;
    self->states = calloc(n_rows * N_STATES, sizeof(double));
    self->loadings = calloc((size_t)recipe->n_channels * N_STATES, sizeof(double));
    self->bias = calloc(recipe->n_channels, sizeof(double));
    if (!self->states || !self->loadings || !self->bias) {
        lorenz_free(self);
        return NULL;
    }
    struct rng rng;
    rng_init(&rng, recipe->seed, TRIAL_STREAM_POPULATION);
    trajectories_make(self, &rng);
    states_standardise(self->states, n_rows, N_STATES, self->mean, self->sd);
    for (uint32_t i = 0; i < recipe->n_channels; i++) neuron_make(self, &rng, n_rows, i);
    shape->n_latents = N_STATES;
    shape->n_conditions = recipe->lorenz.n_conditions;
    shape->latent_mean = self->mean;
    shape->latent_scale = self->sd;
    return self;
}

void lorenz_free(void *pointer)
{
    struct lorenz *self = pointer;
    free(self->states);
    free(self->loadings);
    free(self->bias);
    free(self);
}

void lorenz_trial_make(const void *pointer, struct rng *rng, uint32_t condition,
                       struct trial *trial)
{
    const struct lorenz *self = pointer;
    uint32_t n_bins = self->recipe->trial_bins, n_channels = self->recipe->n_channels;
    if (condition == TRIAL_ANY_CONDITION)
        condition = rng_below(rng, self->recipe->lorenz.n_conditions);
    trial->condition = condition;

    const double *state = self->states + (size_t)condition * n_bins * N_STATES;
    for (uint32_t bin = 0; bin < n_bins; bin++, state += N_STATES) {
        float *counts = trial->counts + (size_t)bin * n_channels;
        for (int j = 0; j < N_STATES; j++) trial->latents[bin * N_STATES + j] = (float)state[j];
        for (uint32_t i = 0; i < n_channels; i++)
            counts[i] = (float)exp(dot3(self->loadings + i * N_STATES, state) + self->bias[i]);
    }
}
