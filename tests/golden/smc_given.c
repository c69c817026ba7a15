/* One bin after another of an smc model, with draws and encodings that are given
 * instead of its own: smc_given MODEL IN OUT, for test_known_smc.py.
 *
 * IN and OUT are float64. IN: number of filtered bins, number of forecast bins, then
 * per bin counts [C], encoded mean [S] and log-variance [S], normals [K, S], uniform.
 * OUT per bin: the model's own encoding of the counts, mean [S] and log-variance [S];
 * prior means [K, S]; log-weights [K]; ancestors [K]; latents [S]; rates [N]. */
#include <stdio.h>
#include <stdlib.h>

#include "decode/model_file.h"
#include "models/smc.h"

struct run {
    const struct smc *m;
    FILE *in, *out;
    struct arena memory;
    struct conv_encoder_state encoder;
    struct particle_work work;
    float *particles, *eps; /* [K, S] */
    float *counts;          /* [C] */
    float *mean, *logvar;   /* [S] */
    double *variance;       /* [S] */
    uint64_t n_bins;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "smc_given: %s: %s\n", what, why);
    exit(1);
}

static double number_read(FILE *in)
{
    double value = 0;
    if (fread(&value, sizeof value, 1, in) != 1) fail("IN", "ends early");
    return value;
}

static void numbers_read(FILE *in, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)number_read(in);
}

static void number_write(FILE *out, double value)
{
    fwrite(&value, sizeof value, 1, out);
}

static void numbers_write(FILE *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) number_write(out, (double)x[i]);
}

/* Over a counting arena first, as the decoder does it. */
static void run_carve(struct run *r, struct arena *a)
{
    const struct particle_filter *f = &r->m->filter;
    conv_encoder_carve(&r->encoder, &r->m->encoder, a, a);
    particle_work_carve(&r->work, f, a);
    r->particles = arena_floats(a, f->n_particles * f->n_latents);
    r->eps = arena_floats(a, f->n_particles * f->n_latents);
    r->counts = arena_floats(a, r->m->n_channels);
    r->mean = arena_floats(a, f->n_latents);
    r->logvar = arena_floats(a, f->n_latents);
    r->variance = arena_doubles(a, f->n_latents);
}

static void run_init(struct run *r)
{
    struct arena counting = {0};
    run_carve(r, &counting);
    if (arena_new(&r->memory, counting.used)) fail("memory", "there is none");
    run_carve(r, &r->memory);
    conv_encoder_reset(&r->encoder, &r->m->encoder);
}

static void bin_write(struct run *r)
{
    const struct particle_filter *f = &r->m->filter;
    size_t s = f->n_latents, k = f->n_particles;
    numbers_write(r->out, r->encoder.mean, s);
    numbers_write(r->out, r->encoder.logvar, s);
    numbers_write(r->out, r->work.prior, k * s);
    for (size_t p = 0; p < k; p++) number_write(r->out, r->work.log_weight[p]);
    for (size_t p = 0; p < k; p++) number_write(r->out, (double)r->work.ancestors[p]);
    numbers_write(r->out, r->work.latents, s);
    numbers_write(r->out, r->work.rates, f->n_rates);
}

static void bin_run(struct run *r, bool forecast)
{
    const struct particle_filter *f = &r->m->filter;
    size_t s = f->n_latents;
    bool first = r->n_bins++ == 0;
    numbers_read(r->in, r->counts, r->m->n_channels);
    numbers_read(r->in, r->mean, s);
    numbers_read(r->in, r->logvar, s);
    numbers_read(r->in, r->eps, f->n_particles * s);
    double u = number_read(r->in);
    conv_encoder_forward(&r->m->encoder, &r->encoder, r->counts);
    for (size_t i = 0; i < s; i++) r->variance[i] = particle_variance((double)r->logvar[i]);
    const struct gaussian given = {.mean = r->mean, .variance = r->variance};
    if (forecast)
        particle_filter_forecast(f, &r->work, r->particles, first, r->eps);
    else
        particle_filter_step(f, &r->work, r->particles, first, &given, r->counts, r->eps, u);
    bin_write(r);
}

int main(int argc, char **argv)
{
    struct latent_error err = {0};
    latent_model *model;
    if (argc != 4) fail("usage", "smc_given MODEL IN OUT");
    if (latent_model_open(&model, argv[1], &err)) fail(argv[1], err.text);
    struct run r = {.m = model_bound(model, NULL)};
    r.in = fopen(argv[2], "rb");
    r.out = fopen(argv[3], "wb");
    if (!r.in || !r.out) fail(argv[2], "cannot be opened");
    run_init(&r);
    size_t n_filtered = (size_t)number_read(r.in);
    size_t n_bins = n_filtered + (size_t)number_read(r.in);
    for (size_t t = 0; t < n_bins; t++) bin_run(&r, t >= n_filtered);
    fclose(r.in);
    if (fclose(r.out)) fail(argv[3], "cannot be written");
    arena_free(&r.memory);
    latent_model_close(model);
    return 0;
}
