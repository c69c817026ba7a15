/* Benchmark worker: latent_decoder_step on one model file, through the public header
 * only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "latent.h"
#include "worker.h"

struct bench {
    latent_decoder *decoder;
    const float *counts;       /* [n_bins, n_channels], used round and round */
    size_t n_bins, trial_bins; /* trial_bins 0: no trials */
    uint32_t n_channels;
    float bin_s;
    struct latent_frame frame;
};

static void bench_step(void *context, size_t i)
{
    struct bench *b = context;
    struct latent_bin bin = {
        .seq = i,
        .n_channels = b->n_channels,
        .counts = b->counts + i % b->n_bins * b->n_channels,
    };
    if (b->trial_bins && i % b->trial_bins == 0) bin.marks = LATENT_MARK_TRIAL_START;
    int status = latent_decoder_step(b->decoder, &bin, &b->frame);
    if (status) worker_absent("step %zu: %s", i, latent_strerror(status));
}

static void bench_warm(void *context)
{
    const struct bench *b = context;
    latent_decoder_warm(b->decoder);
}

static size_t bench_values(void *context, float *out, size_t cap)
{
    struct bench *b = context;
    const struct latent_frame *f = &b->frame;
    size_t n = f->n_rates ? f->n_rates : f->n_readout;
    if (n > cap) n = cap;
    for (size_t i = 0; i < n; i++) out[i] = f->n_rates ? f->rates[i] * b->bin_s : f->readout[i];
    return n;
}

int main(int argc, char **argv)
{
    struct latent_error err;
    latent_model *model;
    const char *path = worker_option(argc, argv, "model");
    if (latent_model_open(&model, path, &err)) worker_absent("%s", err.text);
    struct latent_info info;
    latent_model_info(model, &info);
    struct latent_options options = {.mode = worker_option(argc, argv, "mode")};
    struct bench b = {
        .n_bins = worker_size(argc, argv, "bins"),
        .trial_bins = worker_size(argc, argv, "trial"),
        .n_channels = info.n_channels,
        .bin_s = (float)info.bin_width_us * 1e-6f,
    };
    b.counts = worker_floats(worker_option(argc, argv, "counts"), b.n_bins * b.n_channels);
    if (latent_decoder_new(&b.decoder, model, &options, &err)) worker_absent("%s", err.text);

    char text[256];
    snprintf(text, sizeof text, "latentd %s (%s); weights %zu", latent_version(), latent_kernels(),
             info.weight_bytes);
    struct worker w = {&b, bench_step, bench_values, bench_warm};
    worker_run(&w, text);

    latent_decoder_free(b.decoder);
    latent_model_close(model);
    return 0;
}
