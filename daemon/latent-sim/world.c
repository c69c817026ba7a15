/* Simulated brains: the choice among the kinds, and trial buffers. */
#include "latent-sim/world.h"

#include <math.h>
#include <stdlib.h>

#include "latent-sim/chaotic.h"
#include "latent-sim/lorenz.h"
#include "latent-sim/reach.h"
#include "latent-sim/segments.h"

struct world_ops {
    void *(*new)(const struct recipe *recipe, struct world_shape *shape);
    void (*free)(void *self);
    void (*trial_make)(const void *self, struct rng *rng, uint32_t condition,
                       struct world_trial *trial);
};

static const struct world_ops kinds[] = {
    [RECIPE_LORENZ] = {lorenz_new, lorenz_free, lorenz_trial_make},
    [RECIPE_REACH] = {reach_new, reach_free, reach_trial_make},
    [RECIPE_SEGMENTS] = {segments_new, segments_free, segments_trial_make},
    [RECIPE_CHAOTIC] = {chaotic_new, chaotic_free, chaotic_trial_make},
};

struct world {
    const struct world_ops *ops;
    struct world_shape shape;
    void *self;
};

struct world *world_new(const struct recipe *recipe)
{
    struct world *world = calloc(1, sizeof *world);
    if (!world) return NULL;
    world->ops = &kinds[recipe->kind];
    world->shape = (struct world_shape){.n_channels = recipe->n_channels,
                                        .n_bins = recipe->trial_bins,
                                        .bin_width_us = recipe->bin_width_us,
                                        .n_conditions = 1};
    world->self = world->ops->new (recipe, &world->shape);
    if (world->self) return world;
    free(world);
    return NULL;
}

void world_free(struct world *world)
{
    if (!world) return;
    world->ops->free(world->self);
    free(world);
}

const struct world_shape *world_shape(const struct world *world)
{
    return &world->shape;
}

void world_trial_make(const struct world *world, struct rng *rng, uint32_t condition,
                      struct world_trial *trial)
{
    world->ops->trial_make(world->self, rng, condition, trial);
}

int world_trial_new(struct world_trial *trial, const struct world_shape *shape)
{
    size_t n_bins = shape->n_bins;
    /* One more row keeps the absent groups from asking for 0 bytes. */
    trial->counts = calloc(n_bins * shape->n_channels + 1, sizeof(float));
    trial->latents = calloc(n_bins * shape->n_latents + 1, sizeof(float));
    trial->readout = calloc(n_bins * shape->n_readout + 1, sizeof(float));
    trial->position = calloc(n_bins * shape->n_positions + 1, sizeof(float));
    if (trial->counts && trial->latents && trial->readout && trial->position) return 0;
    world_trial_free(trial);
    return LATENT_E_NOMEM;
}

void world_trial_free(struct world_trial *trial)
{
    free(trial->counts);
    free(trial->latents);
    free(trial->readout);
    free(trial->position);
    *trial = (struct world_trial){0};
}

void world_standardise(double *states, size_t n_rows, int n_states, double *mean, double *sd)
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
