/* Poisson neurons of a motor cortex that reaches: tuned to the movement, and dynamic. */
#ifndef SIM_REACH_H
#define SIM_REACH_H

#include "latent-sim/world.h"

void *reach_new(const struct recipe *recipe, struct world_shape *shape);
void reach_free(void *self);
void reach_trial_make(const void *self, struct rng *rng, uint32_t condition,
                      struct world_trial *trial);

#endif
