/* The Lorenz set: every trial follows one of a few fixed trajectories on the attractor;
 * log(expected count) = loading . standardised state + bias. */
#include "sim/lorenz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_STATES 3
#define BURN_IN_STEP 0.0025 /* Lorenz time */

struct lorenz {
    const struct recipe *recipe;
    double *states;   /* standardised [n_conditions][n_bins][N_STATES] */
    double *loadings; /* [n_channels][N_STATES] */
    double *bias;     /* log expected count [n_channels] */
    double mean[N_STATES], sd[N_STATES];
};

static void lorenz_slope(const struct recipe_lorenz *r, const double x[3],
                         double out[3])
{
    out[0] = r->sigma * (x[1] - x[0]);
    out[1] = x[0] * (r->rho - x[2]) - x[1];
    out[2] = x[0] * x[1] - r->beta * x[2];
}

/* out = x + h slope */
static void lorenz_move(const double x[3], double h, const double slope[3],
                        double out[3])
{
    for (int i = 0; i < N_STATES; i++) out[i] = x[i] + h * slope[i];
}

void lorenz_step(const struct recipe_lorenz *r, double h, double x[3])
{
    double k1[3], k2[3], k3[3], k4[3], at[3];
    lorenz_slope(r, x, k1);
    lorenz_move(x, h / 2.0, k1, at);
    lorenz_slope(r, at, k2);
    lorenz_move(x, h / 2.0, k2, at);
    lorenz_slope(r, at, k3);
    lorenz_move(x, h, k3, at);
    lorenz_slope(r, at, k4);
    for (int i = 0; i < N_STATES; i++)
        x[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
}

/* A random point near the attractor, run until it is on it. */
static void initial_draw(const struct recipe_lorenz *r, struct rng *rng, double x[3])
{
    x[0] = 5.0 * rng_normal(rng);
    x[1] = 5.0 * rng_normal(rng);
    x[2] = 25.0 + 5.0 * rng_normal(rng);
    long n_steps = lround(r->burn_in_time / BURN_IN_STEP);
    for (long i = 0; i < n_steps; i++) lorenz_step(r, BURN_IN_STEP, x);
}

/* Trajectories of all conditions, one row per bin (the state at the bin's start). */
static void trajectories_make(struct lorenz *self, struct rng *rng)
{
    const struct recipe_lorenz *r = &self->recipe->lorenz;
    double h = r->time_per_bin / r->steps_per_bin;
    double *row = self->states;
    for (uint32_t condition = 0; condition < r->n_conditions; condition++) {
        double x[N_STATES];
        initial_draw(r, rng, x);
        for (uint32_t bin = 0; bin < self->recipe->trial_bins; bin++, row += N_STATES) {
            memcpy(row, x, sizeof x);
            for (uint32_t i = 0; i < r->steps_per_bin; i++) lorenz_step(r, h, x);
        }
    }
}

/* Mean 0 and variance 1 for each state over all conditions and bins. */
static void states_standardise(struct lorenz *self, size_t n_rows)
{
    for (int i = 0; i < N_STATES; i++) {
        double *state = self->states + i;
        double sum = 0.0, squares = 0.0;
        for (size_t row = 0; row < n_rows; row++) sum += state[row * N_STATES];
        double mean = sum / (double)n_rows;
        for (size_t row = 0; row < n_rows; row++) {
            state[row * N_STATES] -= mean;
            squares += state[row * N_STATES] * state[row * N_STATES];
        }
        double sd = squares > 0.0 ? sqrt(squares / (double)n_rows) : 1.0;
        for (size_t row = 0; row < n_rows; row++) state[row * N_STATES] /= sd;
        self->mean[i] = mean;
        self->sd[i] = sd;
    }
}

static double dot3(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* A random direction of fixed length for each neuron, so that all are about equally
 * informative, and the bias that gives it the recipe's mean. */
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

void *lorenz_new(const struct recipe *recipe, struct world_shape *shape)
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
    rng_init(&rng, recipe->seed, WORLD_STREAM_POPULATION);
    trajectories_make(self, &rng);
    states_standardise(self, n_rows);
    for (uint32_t i = 0; i < recipe->n_channels; i++)
        neuron_make(self, &rng, n_rows, i);
    shape->n_latents = N_STATES;
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
                       struct world_trial *trial)
{
    const struct lorenz *self = pointer;
    uint32_t n_bins = self->recipe->trial_bins, n_channels = self->recipe->n_channels;
    if (condition == WORLD_ANY_CONDITION)
        condition = rng_below(rng, self->recipe->lorenz.n_conditions);
    trial->condition = condition;

    const double *state = self->states + (size_t)condition * n_bins * N_STATES;
    for (uint32_t bin = 0; bin < n_bins; bin++, state += N_STATES) {
        float *counts = trial->counts + (size_t)bin * n_channels;
        for (int j = 0; j < N_STATES; j++)
            trial->latents[bin * N_STATES + j] = (float)state[j];
        for (uint32_t i = 0; i < n_channels; i++)
            counts[i] =
                (float)exp(dot3(self->loadings + i * N_STATES, state) + self->bias[i]);
    }
}
