/* Counter-based random numbers: every number is a function of (seed, bin, index), so that a
 * replay draws what the live run drew. models/smc/draws.py is the twin. */
#ifndef LATENT_DRAWS_H
#define LATENT_DRAWS_H

#include <stddef.h>
#include <stdint.h>

/* Philox4x32-10 (Salmon et al. 2011): words [4] from counter [4] and key [2]. */
void draws_philox(uint32_t words[4], const uint32_t counter[4], const uint32_t key[2]);
/* z [n]: the standard normals of one bin. */
void draws_normals(float *z, size_t n, uint64_t seed, uint64_t bin);
/* The one uniform of a bin, in [0, 1). */
double draws_uniform(uint64_t seed, uint64_t bin);

#endif
