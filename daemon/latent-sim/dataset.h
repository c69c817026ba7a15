/* Data sets of simulated trials, as HDF5. */
#ifndef SIM_DATASET_H
#define SIM_DATASET_H

#include "latent-sim/recipe.h"
#include "latent-sim/world.h"
#include "latent.h"

/* Writes the recipe's whole data set; the same recipe gives the same bytes. */
int dataset_write(const struct recipe *recipe, const struct world *world, const char *path,
                  struct latent_error *err);

#endif
