/* The decoder over the shipped models, run by run. */
#include "decoder_runs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct shipped_model shipped[] = {
    {"models/ndt/lorenz_causal.safetensors", "A"}, {"models/ndt/lorenz_causal.safetensors", "C"},
    {"models/ndt/lorenz_full.safetensors", "C"},   {"models/gru/lorenz.safetensors", "causal"},
    {"models/gru/reach.safetensors", "causal"},    {"models/kalman/reach.safetensors", "causal"},
    {"models/wiener/reach.safetensors", "causal"},
};
const size_t n_shipped = sizeof shipped / sizeof *shipped;

latent_model *model_open(const char *file)
{
    const char *root = getenv("LATENT_SOURCE");
    struct latent_error err = {0};
    latent_model *m = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", file);
    if (latent_model_open(&m, path, &err)) fail_msg("%s", err.text);
    return m;
}

latent_decoder *decoder_new(const latent_model *m, const char *mode)
{
    struct latent_error err = {0};
    struct latent_options options = {.mode = mode, .predicts = 1};
    latent_decoder *d = NULL;
    if (latent_decoder_new(&d, m, &options, &err)) fail_msg("%s", err.text);
    return d;
}

size_t channels_of(const latent_model *m)
{
    struct latent_info info;
    latent_model_info(m, &info);
    return info.n_channels;
}

float *counts_new(size_t n_bins, size_t n_channels, unsigned seed)
{
    float *counts = malloc(n_bins * n_channels * sizeof *counts);
    for (size_t i = 0; i < n_bins * n_channels; i++)
        counts[i] = rand_r(&seed) % 10 < 7 ? 0.0f : (float)(rand_r(&seed) % 4);
    return counts;
}

void step(latent_decoder *d, const float *counts, size_t n_channels, uint32_t marks,
          struct latent_frame *frame)
{
    struct latent_bin bin = {.marks = marks, .n_channels = (uint32_t)n_channels, .counts = counts};
    assert_int_equal(latent_decoder_step(d, &bin, frame), 0);
}

void run_append(struct run *r, const void *bytes, size_t n)
{
    r->bytes = realloc(r->bytes, r->n + n + 1);
    if (n) memcpy(r->bytes + r->n, bytes, n);
    r->n += n;
}

void run_add(struct run *r, const struct latent_frame *f, uint32_t ignored_flags)
{
    uint32_t flags = f->flags & ~ignored_flags;
    run_append(r, &flags, sizeof flags);
    run_append(r, f->latents, f->n_latents * sizeof(float));
    run_append(r, f->rates, f->n_rates * sizeof(float));
    run_append(r, f->readout, f->n_readout * sizeof(float));
}

struct run run_bins(latent_decoder *d, const float *counts, size_t n_channels, size_t first,
                    size_t end)
{
    struct run r = {0};
    struct latent_frame f;
    for (size_t t = first; t < end; t++) {
        step(d, counts + t * n_channels, n_channels, 0, &f);
        run_add(&r, &f, LATENT_RESET);
    }
    return r;
}

void run_assert_equal(struct run *a, struct run *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->bytes, b->bytes, a->n);
    free(a->bytes);
    free(b->bytes);
}
