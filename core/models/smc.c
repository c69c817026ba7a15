/* Stochastic low-rank RNN, filtered by particles (Pals et al. 2024; models/smc).
 *
 *   encoder     two causal convolutions with GELU, then one for mean and log-variance
 *   particles   z from transition x encoder ("variational") or from the transition
 *               ("bootstrap"), weighted by the spikes, resampled at every bin;
 *               layers/particles.h has the equations
 *
 * Streaming: a true filter, exact online. Zeros stand for the bins before the first; WARMUP until
 * the encoder's window is full (bootstrap: never). Draws come from a counter-based generator over
 * (seed, bins since the reset), so that a replay, and the same trial again, draw the same numbers.
 *
 * Outputs are means over the resampled particles.
 * State: K S floats, and the windows of the three convolutions.
 * Multiply-adds per bin: the taps of the encoder, K (2 S M + S N).
 * predict: the transition with its noise; the particles' mean rates go through the encoder as
 * counts. */
#include "models/smc.h"

#include <string.h>

#include "layers/draws.h"
#include "models/model.h"

#define SMC_MAX_SEED (1ll << 53) /* what JSON holds exactly */
#define SMC_MAX_PARTICLES 4096

static const struct latent_mode smc_modes[] = {{.name = "causal"}, {0}};

struct smc_state {
    const struct smc *m;
    uint64_t *n_bins;
    float *particles; /* [K, S] */
    struct conv_encoder_state encoder;
    double *encoded_variance; /* [S] */
    float *eps;               /* [K, S] */
    struct particle_work work;
};

/* ---- load ---- */

static void filter_load(struct smc *m, struct weights *w, struct fields *c)
{
    static const char *const activations[] = {[ACTIVATION_RELU] = "relu",
                                              [ACTIVATION_CLIPPED_RELU] = "clipped_relu",
                                              [ACTIVATION_TANH] = "tanh",
                                              NULL};
    static const char *const rates[] = {[RATE_SOFTPLUS] = "softplus", [RATE_EXP] = "exp", NULL};
    struct particle_filter *f = &m->filter;
    f->n_particles = (size_t)fields_int(c, "particles", 1, SMC_MAX_PARTICLES);
    f->activation = (enum particles_activation)fields_choice(c, "activation", activations);
    f->rate = (enum particles_rate)fields_choice(c, "rate", rates);
    f->n_latents = weights_axis(w, "transition.m", 1, 1024);
    f->n_units = weights_axis(w, "transition.m", 0, 65536);
    f->n_rates = weights_axis(w, "observation.B", 1, 65536);
    f->n_seen = m->n_channels;
    if (f->n_rates < f->n_seen)
        fields_refuse(c, LATENT_E_CONFIG, NULL,
                      "expected a rate for each channel, found %zu rates for %zu channels",
                      f->n_rates, f->n_seen);
    particle_filter_load(f, w);
}

static void *smc_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    static const char *const proposals[] = {
        [SMC_VARIATIONAL] = "variational", [SMC_BOOTSTRAP] = "bootstrap", NULL};
    struct smc m = {.n_channels = dims->n_channels};
    m.proposal = (enum smc_proposal)fields_choice(c, "proposal", proposals);
    m.seed = (uint64_t)fields_int(c, "seed", 0, SMC_MAX_SEED);
    filter_load(&m, w, c);
    if (m.proposal == SMC_VARIATIONAL)
        conv_encoder_load(&m.encoder, w, m.n_channels, m.filter.n_latents);
    if (weights_has(w, "readout.weight")) {
        m.n_readout = weights_axis(w, "readout.weight", 0, 4096);
        linear_load(&m.readout, w, m.n_readout, m.filter.n_latents, "readout");
    }
    dims->n_latents = m.filter.n_latents;
    dims->n_rates = m.filter.n_rates;
    dims->n_readout = m.n_readout;
    return arena_copy(w->arena, &m, sizeof m);
}

/* ---- state ---- */

static void *smc_init(const void *model, int mode, struct model_memory *mem)
{
    const struct smc *m = model;
    struct smc_state s = {.m = m};
    size_t n = m->filter.n_particles * m->filter.n_latents;
    (void)mode;
    s.n_bins = arena_counts(mem->state, 1);
    s.particles = arena_floats(mem->state, n);
    s.eps = arena_floats(mem->work, n);
    s.encoded_variance = arena_doubles(mem->work, m->filter.n_latents);
    if (m->proposal == SMC_VARIATIONAL)
        conv_encoder_carve(&s.encoder, &m->encoder, mem->state, mem->work);
    particle_work_carve(&s.work, &m->filter, mem->work);
    return arena_copy(mem->work, &s, sizeof s);
}

static void smc_reset(void *state)
{
    struct smc_state *s = state;
    const struct smc *m = s->m;
    *s->n_bins = 0;
    memset(s->particles, 0, m->filter.n_particles * m->filter.n_latents * sizeof *s->particles);
    if (m->proposal == SMC_VARIATIONAL) conv_encoder_reset(&s->encoder, &m->encoder);
}

/* ---- one bin ---- */

/* What the encoder says of this bin of counts [C]. */
static struct gaussian encoder_run(struct smc_state *s, const float *counts)
{
    conv_encoder_forward(&s->m->encoder, &s->encoder, counts);
    for (size_t i = 0; i < s->m->filter.n_latents; i++)
        s->encoded_variance[i] = particle_variance((double)s->encoder.logvar[i]);
    return (struct gaussian){.mean = s->encoder.mean, .variance = s->encoded_variance};
}

static void outputs_write(struct smc_state *s, struct model_out *out)
{
    const struct smc *m = s->m;
    memcpy(out->latents, s->work.latents, m->filter.n_latents * sizeof *out->latents);
    memcpy(out->rates, s->work.rates, m->filter.n_rates * sizeof *out->rates);
    if (m->n_readout) linear_forward(&m->readout, out->readout, out->latents);
    if (m->proposal == SMC_VARIATIONAL && *s->n_bins + 1 < conv_encoder_bins(&m->encoder))
        out->flags |= LATENT_WARMUP;
    ++*s->n_bins;
}

static void smc_step(void *state, const float *counts, struct model_out *out)
{
    struct smc_state *s = state;
    const struct smc *m = s->m;
    uint64_t t = *s->n_bins;
    struct gaussian encoded = {0};
    if (m->proposal == SMC_VARIATIONAL) encoded = encoder_run(s, counts);
    draws_normals(s->eps, m->filter.n_particles * m->filter.n_latents, m->seed, t);
    particle_filter_step(&m->filter, &s->work, s->particles, t == 0, encoded.mean ? &encoded : NULL,
                         counts, s->eps, draws_uniform(m->seed, t));
    outputs_write(s, out);
}

static void smc_predict(void *state, struct model_out *out)
{
    struct smc_state *s = state;
    const struct smc *m = s->m;
    uint64_t t = *s->n_bins;
    draws_normals(s->eps, m->filter.n_particles * m->filter.n_latents, m->seed, t);
    particle_filter_forecast(&m->filter, &s->work, s->particles, t == 0, s->eps);
    if (m->proposal == SMC_VARIATIONAL) encoder_run(s, s->work.rates);
    outputs_write(s, out);
}

static const char *smc_counts_check(const void *model)
{
    const struct smc *m = model;
    (void)m;
    return "its particles are weighed by Poisson counts";
}

const struct model_ops smc_ops = {
    .name = "smc",
    .modes = smc_modes,
    .load = smc_load,
    .init = smc_init,
    .reset = smc_reset,
    .step = smc_step,
    .predict = smc_predict,
    .counts_check = smc_counts_check,
};
