/* Particle filter of a low-rank RNN. Products over all particles go to BLAS, always with the same
 * shapes; weights are summed in float64. */
#include "layers/particles.h"

#include <math.h>
#include <string.h>

#include "kernels/blas.h"
#include "kernels/kernels.h"

#define VARIANCE_MIN 1e-8
#define VARIANCE_MAX 100.0
#define SOFTPLUS_FLOOR 1e-6f
#define LOG_RATE_MAX 40.0f /* absurd counts must not end a filter in infinity */

double particle_variance(double logarithm)
{
    return fmin(fmax(exp(logarithm), VARIANCE_MIN), VARIANCE_MAX);
}

/* ---- load ---- */

static const double *variances_load(struct weights *w, size_t n, const char *name)
{
    const double *logarithm = weights_doubles(w, SHAPE(n), "%s", name);
    double *variance = arena_doubles(w->arena, n);
    for (size_t i = 0; logarithm && variance && i < n; i++)
        variance[i] = particle_variance(logarithm[i]);
    return variance;
}

void particle_filter_load(struct particle_filter *f, struct weights *w)
{
    size_t s = f->n_latents, units = f->n_units;
    const double *decay = weights_doubles(w, 0, NULL, "transition.decay");
    if (decay) f->decay = (float)exp(-exp(*decay));
    f->m = weights_floats(w, SHAPE(units, s), "transition.m");
    f->n = weights_floats(w, SHAPE(s, units), "transition.n");
    f->h = weights_floats(w, SHAPE(units), "transition.h");
    f->loading = weights_floats(w, SHAPE(s, f->n_rates), "observation.B");
    f->bias = weights_floats(w, SHAPE(f->n_rates), "observation.Bias");
    f->start = weights_floats(w, SHAPE(s), "initial_state");
    f->noise = variances_load(w, s, "R_z");
    f->start_noise = variances_load(w, s, "R_z_t0");
}

void particle_work_carve(struct particle_work *work, const struct particle_filter *f,
                         struct arena *a)
{
    size_t k = f->n_particles;
    work->latents = arena_floats(a, f->n_latents);
    work->rates = arena_floats(a, f->n_rates);
    work->log_weight = arena_doubles(a, k);
    work->ancestors = arena_take(a, k * sizeof *work->ancestors);
    work->prior = arena_floats(a, k * f->n_latents);
    work->drawn = arena_floats(a, k * f->n_latents);
    work->hidden = arena_floats(a, k * f->n_units);
    work->each_rate = arena_floats(a, k * f->n_rates);
    work->exponentials = arena_floats(a, k * f->n_rates);
    work->cumulative = arena_doubles(a, k);
    work->active = arena_take(a, f->n_seen * sizeof *work->active);
}

/* ---- model ---- */

static float rectify(float x)
{
    return x > 0.0f ? x : 0.0f;
}

/* phi(x; h) of one particle's units [M], in place */
static void units_activate(const struct particle_filter *f, float *x)
{
    const float *h = f->h;
    size_t n = f->n_units;
    switch (f->activation) {
    case ACTIVATION_RELU:
        for (size_t i = 0; i < n; i++) x[i] = rectify(x[i] - h[i]);
        break;
    case ACTIVATION_CLIPPED_RELU:
        for (size_t i = 0; i < n; i++) x[i] = rectify(x[i] + h[i]) - rectify(x[i]);
        break;
    case ACTIVATION_TANH:
        for (size_t i = 0; i < n; i++) x[i] -= h[i];
        kernels_get()->tanh(x, n);
        break;
    }
}

/* prior [K, S] = mean of the next z */
static void prior_form(const struct particle_filter *f, struct particle_work *work, const float *z,
                       bool first)
{
    size_t k = f->n_particles, s = f->n_latents, units = f->n_units;
    float *prior = work->prior;
    if (first) {
        for (size_t p = 0; p < k; p++) memcpy(prior + p * s, f->start, s * sizeof *prior);
        return;
    }
    blas_matmul_transposed(work->hidden, units, z, s, f->m, s, k, units, s); /* [K, M] = z m' */
    for (size_t p = 0; p < k; p++) units_activate(f, work->hidden + p * units);
    blas_matmul_transposed(prior, s, work->hidden, units, f->n, units, k, s, units); /* [K, S] */
    for (size_t i = 0; i < k * s; i++) prior[i] += f->decay * z[i];
}

/* ln(1 + u) for u in [0, 1]: the series of artanh(u / (2 + u)); the first term left out
 * is below 1e-9. */
static float log_one_plus(float u)
{
    float r = u / (2.0f + u), s = r * r;
    float series = 1.0f / 15.0f;
    for (int odd = 13; odd >= 1; odd -= 2) series = series * s + 1.0f / (float)odd;
    return 2.0f * r * series;
}

/* y = ln(1 + e^y) + 1e-6, work [n]: no overflow, no loss for very negative y */
static void softplus(float *y, float *work, size_t n)
{
    for (size_t i = 0; i < n; i++) work[i] = -fabsf(y[i]);
    kernels_get()->exp(work, n);
    for (size_t i = 0; i < n; i++) y[i] = rectify(y[i]) + log_one_plus(work[i]) + SOFTPLUS_FLOOR;
}

/* each_rate [K, N] = expected counts of each particle z [K, S] */
static void rates_form(const struct particle_filter *f, struct particle_work *work, const float *z)
{
    size_t k = f->n_particles, n = f->n_rates;
    float *y = work->each_rate;
    blas_matmul(y, n, z, f->n_latents, f->loading, n, k, n, f->n_latents); /* [K, N] = z B */
    for (size_t p = 0; p < k; p++)
        for (size_t i = 0; i < n; i++) y[p * n + i] += f->bias[i];
    if (f->rate == RATE_SOFTPLUS) {
        softplus(y, work->exponentials, k * n);
        return;
    }
    for (size_t i = 0; i < k * n; i++) y[i] = fminf(fmaxf(y[i], -LOG_RATE_MAX), LOG_RATE_MAX);
    kernels_get()->exp(y, k * n);
}

/* ---- one bin ---- */

/* drawn = sample of the product of prior and encoder; log_weight = ln N(z; prior) - ln
 * N(z; product). */
static void particles_propose(const struct particle_filter *f, struct particle_work *work,
                              const double *noise, const struct gaussian *encoded, const float *eps)
{
    size_t s = f->n_latents;
    memset(work->log_weight, 0, f->n_particles * sizeof *work->log_weight);
    for (size_t i = 0; i < s; i++) {
        double of_encoder = 1.0 / encoded->variance[i]; /* precision */
        double variance = 1.0 / (1.0 / noise[i] + of_encoder), sd = sqrt(variance);
        double pull = variance * of_encoder; /* weight of the encoder's mean in the product */
        double constant = 0.5 * log(variance / noise[i]);
        for (size_t p = 0; p < f->n_particles; p++) {
            double prior = (double)work->prior[p * s + i], e = (double)eps[p * s + i];
            double moved = pull * ((double)encoded->mean[i] - prior) + sd * e;
            work->drawn[p * s + i] = (float)(prior + moved);
            work->log_weight[p] += constant + 0.5 * (e * e - moved * moved / noise[i]);
        }
    }
}

/* drawn = sample of the prior */
static void particles_diffuse(const struct particle_filter *f, struct particle_work *work,
                              const double *noise, const float *eps)
{
    size_t s = f->n_latents;
    memset(work->log_weight, 0, f->n_particles * sizeof *work->log_weight);
    for (size_t i = 0; i < s; i++) {
        double sd = sqrt(noise[i]);
        for (size_t j = i; j < f->n_particles * s; j += s)
            work->drawn[j] = (float)((double)work->prior[j] + sd * (double)eps[j]);
    }
}

/* log_weight += ln Poisson(counts | rates) without the factorials */
static void particles_weigh(const struct particle_filter *f, struct particle_work *work,
                            const float *counts)
{
    size_t n_active = nonzero_index(work->active, counts, f->n_seen);
    for (size_t p = 0; p < f->n_particles; p++) {
        const float *rate = work->each_rate + p * f->n_rates;
        double sum = 0.0;
        for (size_t i = 0; i < f->n_seen; i++) sum -= (double)rate[i];
        for (size_t a = 0; a < n_active; a++) {
            uint32_t i = work->active[a];
            sum += (double)counts[i] * (double)logf(rate[i]);
        }
        work->log_weight[p] += sum;
    }
}

void particles_resample(uint32_t *ancestors, const double *log_weight, size_t n, double u,
                        double *cumulative)
{
    double largest = log_weight[0], sum = 0.0;
    for (size_t k = 1; k < n; k++) largest = fmax(largest, log_weight[k]);
    for (size_t k = 0; k < n; k++) cumulative[k] = sum += exp(log_weight[k] - largest);
    size_t next = 0;
    for (size_t k = 0; k < n; k++) {
        double tooth = (u + (double)k) / (double)n;
        while (next + 1 < n && cumulative[next] / sum < tooth) next++;
        ancestors[k] = (uint32_t)next;
    }
}

/* mean [n] of the rows of x [K, n] that the ancestors name */
static void mean_form(const struct particle_filter *f, const struct particle_work *work,
                      float *mean, const float *x, size_t n)
{
    memset(mean, 0, n * sizeof *mean);
    for (size_t p = 0; p < f->n_particles; p++) {
        const float *row = x + work->ancestors[p] * n;
        for (size_t i = 0; i < n; i++) mean[i] += row[i];
    }
    for (size_t i = 0; i < n; i++) mean[i] /= (float)f->n_particles;
}

/* The drawn particles that survive become z, and their means the answer. */
static void outputs_write(const struct particle_filter *f, struct particle_work *work, float *z)
{
    size_t s = f->n_latents;
    for (size_t p = 0; p < f->n_particles; p++)
        memcpy(z + p * s, work->drawn + work->ancestors[p] * s, s * sizeof *z);
    mean_form(f, work, work->latents, work->drawn, s);
    mean_form(f, work, work->rates, work->each_rate, f->n_rates);
}

void particle_filter_step(const struct particle_filter *f, struct particle_work *work, float *z,
                          bool first, const struct gaussian *encoded, const float *counts,
                          const float *eps, double u)
{
    const double *noise = first ? f->start_noise : f->noise;
    prior_form(f, work, z, first);
    if (encoded)
        particles_propose(f, work, noise, encoded, eps);
    else
        particles_diffuse(f, work, noise, eps);
    rates_form(f, work, work->drawn);
    particles_weigh(f, work, counts);
    particles_resample(work->ancestors, work->log_weight, f->n_particles, u, work->cumulative);
    outputs_write(f, work, z);
}

void particle_filter_forecast(const struct particle_filter *f, struct particle_work *work, float *z,
                              bool first, const float *eps)
{
    prior_form(f, work, z, first);
    particles_diffuse(f, work, first ? f->start_noise : f->noise, eps);
    rates_form(f, work, work->drawn);
    for (uint32_t p = 0; p < f->n_particles; p++) work->ancestors[p] = p;
    outputs_write(f, work, z);
}
