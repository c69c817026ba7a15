/* Poisson neurons that follow the articulators of attempted speech. */
#ifndef SIM_SPEECH_H
#define SIM_SPEECH_H

#include "latent-sim/recipe.h"
#include "latent-sim/trial.h"

void *speech_new(const struct recipe *recipe, struct trial_shape *shape);
void speech_free(void *self);
void speech_trial_make(const void *self, struct rng *rng, uint32_t condition, struct trial *trial);

#endif
