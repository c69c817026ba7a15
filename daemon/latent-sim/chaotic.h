/* Poisson neurons that are the units of a chaotic recurrent network. */
#ifndef SIM_CHAOTIC_H
#define SIM_CHAOTIC_H

#include "latent-sim/world.h"

void *chaotic_new(const struct recipe *recipe, struct world_shape *shape);
void chaotic_free(void *self);
void chaotic_trial_make(const void *self, struct rng *rng, uint32_t condition,
                        struct world_trial *trial);

#endif
