/* Simulated brains: the choice among the kinds. */
#include "latent-sim/world.h"

#include <stdlib.h>

#include "latent-sim/chaotic.h"
#include "latent-sim/lorenz.h"
#include "latent-sim/reach.h"
#include "latent-sim/segments.h"
#include "latent-sim/speech.h"

struct world_ops {
    void *(*new)(const struct recipe *recipe, struct trial_shape *shape);
    void (*free)(void *self);
    void (*trial_make)(const void *self, struct rng *rng, uint32_t condition, struct trial *trial);
};

static const struct world_ops kinds[] = {
    [RECIPE_LORENZ] = {lorenz_new, lorenz_free, lorenz_trial_make},
    [RECIPE_REACH] = {reach_new, reach_free, reach_trial_make},
    [RECIPE_SEGMENTS] = {segments_new, segments_free, segments_trial_make},
    [RECIPE_CHAOTIC] = {chaotic_new, chaotic_free, chaotic_trial_make},
    [RECIPE_SPEECH] = {speech_new, speech_free, speech_trial_make},
};

struct world {
    const struct world_ops *ops;
    struct trial_shape shape;
    void *self;
};

struct world *world_new(const struct recipe *recipe)
{
    struct world *world = calloc(1, sizeof *world);
    if (!world) return NULL;
    world->ops = &kinds[recipe->kind];
    world->shape = (struct trial_shape){.n_channels = recipe->n_channels,
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

const struct trial_shape *world_shape(const struct world *world)
{
    return &world->shape;
}

void world_trial_make(const struct world *world, struct rng *rng, uint32_t condition,
                      struct trial *trial)
{
    world->ops->trial_make(world->self, rng, condition, trial);
}
