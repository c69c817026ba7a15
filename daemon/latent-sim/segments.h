/* Poisson neurons that read one long orbit on an attractor, cut into segments. */
#ifndef SIM_SEGMENTS_H
#define SIM_SEGMENTS_H

#include "latent-sim/recipe.h"
#include "latent-sim/trial.h"

void *segments_new(const struct recipe *recipe, struct trial_shape *shape);
void segments_free(void *self);
void segments_trial_make(const void *self, struct rng *rng, uint32_t condition,
                         struct trial *trial);

#endif
