/* Poisson neurons that read the Lorenz attractor log-linearly. */
#ifndef SIM_LORENZ_H
#define SIM_LORENZ_H

#include "latent-sim/recipe.h"
#include "latent-sim/trial.h"

void *lorenz_new(const struct recipe *recipe, struct trial_shape *shape);
void lorenz_free(void *self);
void lorenz_trial_make(const void *self, struct rng *rng, uint32_t condition, struct trial *trial);

#endif
