/* xoshiro256++ (Blackman and Vigna 2019) and the distributions the simulator needs. */
#include "latent-sim/rng.h"

#include <assert.h>
#include <math.h>

/* Above this mean, inversion takes too many steps and exp(-mean) loses its digits. */
#define POISSON_INVERSION_MEAN 10.0

static uint64_t splitmix_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int n)
{
    return (x << n) | (x >> (64 - n));
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Advances by 2^128 numbers: the polynomial is the generator's own. */
static void rng_jump(struct rng *rng)
{
    static const uint64_t polynomial[4] = {0x180ec6d33cfd0aba, 0xd5a61266f0c9392c,
                                           0xa9582618e03fc9aa, 0x39abdc4529b1661c};
    uint64_t sum[4] = {0, 0, 0, 0};
    for (unsigned bit = 0; bit < 256; bit++) {
        if (polynomial[bit / 64] >> (bit % 64) & 1)
            for (int i = 0; i < 4; i++) sum[i] ^= rng->state[i];
        rng_next(rng);
    }
    for (int i = 0; i < 4; i++) rng->state[i] = sum[i];
}

void rng_init(struct rng *rng, uint64_t seed, unsigned stream)
{
    *rng = (struct rng){.has_spare = 0};
    for (int i = 0; i < 4; i++) rng->state[i] = splitmix_next(&seed);
    for (unsigned i = 0; i < stream; i++) rng_jump(rng);
}

double rng_uniform(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

double rng_between(struct rng *rng, double low, double high)
{
    return low + (high - low) * rng_uniform(rng);
}

uint32_t rng_below(struct rng *rng, uint32_t n)
{
    assert(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n; /* a multiple of n: no value is favoured */
    uint64_t x;
    do x = rng_next(rng);
    while (x >= limit);
    return (uint32_t)(x % n);
}

/* Marsaglia's polar method gives two at a time. */
double rng_normal(struct rng *rng)
{
    if (rng->has_spare) {
        rng->has_spare = 0;
        return rng->spare;
    }
    double u, v, square;
    do {
        u = 2.0 * rng_uniform(rng) - 1.0;
        v = 2.0 * rng_uniform(rng) - 1.0;
        square = u * u + v * v;
    } while (square >= 1.0 || square == 0.0);
    double factor = sqrt(-2.0 * log(square) / square);
    rng->spare = v * factor;
    rng->has_spare = 1;
    return u * factor;
}

static uint32_t poisson_by_inversion(struct rng *rng, double mean)
{
    double u = rng_uniform(rng);
    double p = exp(-mean);
    double sum = p;
    uint32_t k = 0;
    /* p > 0 ends the loop where the sum has converged a last digit short of u. */
    while (u >= sum && p > 0.0) {
        k++;
        p *= mean / k;
        sum += p;
    }
    return k;
}

/* PTRS of Hoermann (1993), "The transformed rejection method for generating Poisson random
 * variables". */
static uint32_t poisson_by_rejection(struct rng *rng, double mean)
{
    double b = 0.931 + 2.53 * sqrt(mean);
    double a = -0.059 + 0.02483 * b;
    double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    double v_r = 0.9277 - 3.6224 / (b - 2.0);
    for (;;) {
        double u = rng_uniform(rng) - 0.5;
        double v = rng_uniform(rng);
        double us = 0.5 - fabs(u);
        double k = floor((2.0 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= v_r) return (uint32_t)k;
        if (k < 0.0 || (us < 0.013 && v > us)) continue;
        int sign;
        double bound = k * log(mean) - mean - lgamma_r(k + 1.0, &sign);
        if (log(v) + log(inverse_alpha) - log(a / (us * us) + b) <= bound) return (uint32_t)k;
    }
}

uint32_t rng_poisson(struct rng *rng, double mean)
{
    assert(mean >= 0.0 && mean <= 1e6);
    if (mean < POISSON_INVERSION_MEAN) return poisson_by_inversion(rng, mean);
    return poisson_by_rejection(rng, mean);
}
