/* A stochastic low-rank RNN and its particle filter: one bin of K particles as matrix products.
 *
 *   transition    z' ~ N(a z + n phi(m z; h), Q)       bin 0: N(start, Q0)
 *   observation   x  ~ Poisson(g(B' z + bias))         for the first C of N units
 *
 * Draws are given by the caller, so that a test can give those of another implementation.
 * Letters: K particles, S latents, M units, N rates, C seen units. */
#ifndef LATENT_PARTICLES_H
#define LATENT_PARTICLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/weights.h"

enum particles_activation { ACTIVATION_RELU, ACTIVATION_CLIPPED_RELU, ACTIVATION_TANH };
enum particles_rate { RATE_SOFTPLUS, RATE_EXP };

struct particle_filter {
    size_t n_particles, n_latents, n_units, n_rates, n_seen; /* K, S, M, N, C */
    enum particles_activation activation;
    enum particles_rate rate;
    float decay;                       /* a */
    const float *m, *n, *h;            /* [M, S], [S, M], [M] */
    const float *loading, *bias;       /* B [S, N], [N] */
    const float *start;                /* [S] */
    const double *noise, *start_noise; /* variances [S] */
};

/* A diagonal Gaussian over the latents. */
struct gaussian {
    const float *mean;      /* [S] */
    const double *variance; /* [S] */
};

/* Scratch of one bin; what the caller reads afterwards stands first. */
struct particle_work {
    float *latents, *rates;          /* means over the resampled particles [S], [N] */
    double *log_weight;              /* [K], before resampling, without factorials */
    uint32_t *ancestors;             /* [K] */
    float *prior, *drawn;            /* [K, S] */
    float *hidden;                   /* [K, M] */
    float *each_rate, *exponentials; /* [K, N] */
    double *cumulative;              /* [K] */
    uint32_t *active;                /* [C]: seen units that fired */
};

/* Fill sizes and choices first; takes transition.*, observation.*, R_z, R_z_t0, initial_state. */
void particle_filter_load(struct particle_filter *f, struct weights *w);
void particle_work_carve(struct particle_work *work, const struct particle_filter *f,
                         struct arena *a);

/* Variance of a stored logarithm, clamped as the reference does. */
double particle_variance(double logarithm);

/* One bin of counts [C]: particles z [K, S] are replaced. encoded: what the encoder
 * says of this bin, NULL for the bootstrap proposal. eps [K, S] standard normals, u
 * uniform. first: no bin came before. */
void particle_filter_step(const struct particle_filter *f, struct particle_work *work, float *z,
                          bool first, const struct gaussian *encoded, const float *counts,
                          const float *eps, double u);
/* One bin without counts: the transition with its noise. */
void particle_filter_forecast(const struct particle_filter *f, struct particle_work *work, float *z,
                              bool first, const float *eps);
/* Systematic: tooth (u + k) / n takes the first cumulative weight that reaches it. */
void particles_resample(uint32_t *ancestors, const double *log_weight, size_t n, double u,
                        double *cumulative);

#endif
