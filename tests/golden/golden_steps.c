/* One bin after another, some of which did not come, with a snapshot in between: for
 * stepping.py.
 *
 *   golden_steps MODEL MODE COUNTS OUT SAVE_AT [SESSION]
 *
 * COUNTS: raw float32 [bins, channels]; a row that begins with NaN is a bin that did
 * not come. OUT gets, bin by bin and raw float32, flags, latents, rates (Hz), readout and
 * logits, NaN for what a frame does not have. At bin SAVE_AT the decoder is saved, and
 * a new one goes on from the snapshot. A step that touches the heap ends it: the
 * real-time rule. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "allocation_count.h"
#include "latent.h"

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "golden_steps: %s: %s\n", what, why);
    exit(1);
}

static latent_decoder *decoder_make(const latent_model *m, const struct latent_options *options)
{
    struct latent_error err = {0};
    latent_decoder *d = NULL;
    if (latent_decoder_new(&d, m, options, &err)) fail(options->mode, err.text);
    return d;
}

/* The same stream in a decoder of its own. */
static latent_decoder *decoder_move(latent_decoder *d, const latent_model *m,
                                    const struct latent_options *options)
{
    size_t n = latent_decoder_size(d);
    void *snapshot = malloc(n);
    latent_decoder *next = decoder_make(m, options);
    if (!snapshot || latent_decoder_save(d, snapshot, n) || latent_decoder_load(next, snapshot, n))
        fail(options->mode, "the snapshot is refused");
    free(snapshot);
    latent_decoder_free(d);
    return next;
}

static void group_write(FILE *out, const float *values, uint32_t n_found, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float value = n_found ? values[i] : NAN;
        fwrite(&value, sizeof value, 1, out);
    }
}

static void frame_write(FILE *out, const struct latent_frame *f, const struct latent_info *info)
{
    float flags = (float)f->flags;
    fwrite(&flags, sizeof flags, 1, out);
    group_write(out, f->latents, f->n_latents, info->n_latents);
    group_write(out, f->rates, f->n_rates, info->n_rates);
    group_write(out, f->readout, f->n_readout, info->n_readout);
    group_write(out, f->logits, f->n_logits, info->n_logits);
}

static void steps_run(const latent_model *m, const struct latent_options *options, FILE *in,
                      FILE *out, uint64_t save_at)
{
    const char *mode = options->mode;
    struct latent_info info;
    latent_model_info(m, &info);
    latent_decoder *d = decoder_make(m, options);
    float *counts = malloc(info.n_channels * sizeof *counts);
    if (!counts) fail(mode, "no memory");
    for (uint64_t t = 0; fread(counts, sizeof *counts, info.n_channels, in); t++) {
        struct latent_bin bin = {.seq = t, .n_channels = info.n_channels, .counts = counts};
        struct latent_frame frame;
        if (t == save_at) d = decoder_move(d, m, options);
        allocation_count_start();
        int status = isnan(counts[0]) ? latent_decoder_predict(d, &frame)
                                      : latent_decoder_step(d, &bin, &frame);
        if (allocation_count_stop()) fail(mode, "a step touches the heap");
        if (status) fail(mode, latent_strerror(status));
        frame_write(out, &frame, &info);
    }
    free(counts);
    latent_decoder_free(d);
}

int main(int argc, char **argv)
{
    struct latent_error err = {0};
    latent_model *m;
    if (argc != 6 && argc != 7)
        fail("usage", "golden_steps MODEL MODE COUNTS OUT SAVE_AT [SESSION]");
    if (latent_model_open(&m, argv[1], &err)) fail(argv[1], err.text);
    FILE *in = fopen(argv[3], "rb"), *out = fopen(argv[4], "wb");
    if (!in || !out) fail(argv[3], "cannot be opened");
    struct latent_options options = {
        .mode = argv[2], .predicts = 1, .any_finite = 1, .session = argc == 7 ? argv[6] : NULL};
    steps_run(m, &options, in, out, strtoull(argv[5], NULL, 10));
    fclose(in);
    if (fclose(out)) fail(argv[4], "cannot be written");
    latent_model_close(m);
    return 0;
}
