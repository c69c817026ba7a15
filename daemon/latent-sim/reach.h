/* Poisson neurons of a motor cortex that reaches: tuned to the movement, and dynamic. */
#ifndef SIM_REACH_H
#define SIM_REACH_H

#include "latent-sim/recipe.h"
#include "latent-sim/trial.h"

void *reach_new(const struct recipe *recipe, struct trial_shape *shape);
void reach_free(void *self);
void reach_trial_make(const void *self, struct rng *rng, uint32_t condition, struct trial *trial);

#endif
