/* Random numbers that are the same on every machine: xoshiro256++ seeded by splitmix64.
 *
 * One seed has many streams, 2^128 numbers apart: the loadings, the movements and the spikes each
 * draw from their own, so that changing one leaves the others as they were. */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state[4];
    double spare; /* second normal of the last pair */
    int has_spare;
};

void rng_init(struct rng *rng, uint64_t seed, unsigned stream);
uint64_t rng_next(struct rng *rng);
double rng_uniform(struct rng *rng); /* [0, 1), 53 bits */
double rng_between(struct rng *rng, double low, double high);
uint32_t rng_below(struct rng *rng, uint32_t n); /* 0 .. n-1, each equally likely */
double rng_normal(struct rng *rng);              /* mean 0, variance 1 */
/* Exact for every mean in [0, 1e6]: inversion below 10, transformed rejection above. */
uint32_t rng_poisson(struct rng *rng, double mean);

#endif
