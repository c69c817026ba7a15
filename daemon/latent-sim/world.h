/* A simulated brain: whole trials of rates from known latents, one recipe kind behind each.
 *
 * A world is fixed by its recipe; what varies from trial to trial is drawn from the caller's
 * generator, so that the same world serves a data set and a live stream. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "latent-sim/recipe.h"
#include "latent-sim/trial.h"

struct world;

struct world *world_new(const struct recipe *recipe); /* NULL: out of memory */
void world_free(struct world *world);
const struct trial_shape *world_shape(const struct world *world);

/* Computes a trial. condition: TRIAL_ANY_CONDITION draws one. */
void world_trial_make(const struct world *world, struct rng *rng, uint32_t condition,
                      struct trial *trial);

#endif
