/* Poisson neurons that are the units of a chaotic recurrent network. */
#ifndef SIM_CHAOTIC_H
#define SIM_CHAOTIC_H

#include "latent-sim/recipe.h"
#include "latent-sim/trial.h"

void *chaotic_new(const struct recipe *recipe, struct trial_shape *shape);
void chaotic_free(void *self);
void chaotic_trial_make(const void *self, struct rng *rng, uint32_t condition, struct trial *trial);

#endif
