/* latent-decode: a whole recording through the same core as the daemon. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "decode/results.h"
#include "latent.h"
#include "reader/reader.h"
#include "tool/error.h"
#include "tool/options.h"
#include "tool/progress.h"
#include "tool/stop.h"

#define PROGRAM "latent-decode"
#define SLAB_VALUES (1u << 20) /* counts read at once */
#define SLAB_BINS 1024

struct settings {
    const char *model, *out, *mode;
    struct reader_options input;
};

struct decoding {
    const struct settings *settings;
    struct latent_error *err;
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder;
    const struct latent_mode *mode;
    struct reader *reader;
    const struct reader_shape *shape;
    struct results *results;
    size_t n_slab_bins;
    float *counts; /* [n_slab_bins][n_channels] */
    uint64_t seq;
    struct progress progress;
};

static int settings_read(struct settings *s, int argc, char **argv,
                         struct latent_error *err)
{
    struct reader_options *in = &s->input;
    const struct option_row rows[] = {
        {"model", "FILE", OPTION_TEXT, &s->model, "the model (safetensors)"},
        {"out", "FILE", OPTION_TEXT, &s->out, "where the results go (HDF5)"},
        {"mode", "MODE", OPTION_TEXT, &s->mode,
         "one of the model's (default: its first)"},
        READER_OPTION_ROWS(in),
        {"seconds", "N", OPTION_NUMBER, &in->seconds,
         "with --ticks: length of the part to decode (default: to the end)"},
        {0},
    };
    const struct option_table table = {
        PROGRAM, "decode a recording",
        PROGRAM " --model M.safetensors --in FILE.h5:/dataset --out OUT.h5\n"
                "       " PROGRAM " --model M.safetensors --ticks FILE.h5:/dataset "
                "--units FILE.h5:/dataset --bin-ms B --out OUT.h5",
        rows};
    int status = options_parse(&table, argc, argv, err);
    if (status == OPTIONS_RUN && (!s->model || !s->out))
        return tool_error(err, LATENT_E_CONFIG,
                          "--model and --out are needed: see --help");
    if (status == OPTIONS_RUN && in->in && in->seconds > 0.0)
        return tool_error(err, LATENT_E_CONFIG, "--seconds belongs to --ticks");
    return status;
}

/* ---- opening ------------------------------------------------------------------------
 */

static int shapes_check(const struct decoding *d)
{
    const struct latent_info *info = &d->info;
    const struct reader_shape *s = d->shape;
    if (s->n_channels != info->n_channels)
        return tool_error(d->err, LATENT_E_SHAPE,
                          "the recording has %zu channels, the model %s expects %u",
                          s->n_channels, info->path, info->n_channels);
    if (s->bin_width_us != info->bin_width_us)
        return tool_error(d->err, LATENT_E_SHAPE,
                          "the recording has bins of %g ms, the model %s expects %g ms",
                          s->bin_width_us / 1000.0, info->path,
                          info->bin_width_us / 1000.0);
    if (d->mode->offline && info->trial_bins && s->n_bins > info->trial_bins)
        return tool_error(
            d->err, LATENT_E_SHAPE,
            "the recording has trials of %zu bins, mode %s of the model %s "
            "takes at most %u",
            s->n_bins, d->mode->name, info->path, info->trial_bins);
    return 0;
}

/* Offline modes need a trial at once, the others as much as is handy. */
static size_t slab_bins(const struct decoding *d)
{
    size_t n_bins = SLAB_VALUES / d->shape->n_channels;
    if (n_bins > SLAB_BINS) n_bins = SLAB_BINS;
    if (n_bins < 1) n_bins = 1;
    return d->mode->offline || n_bins > d->shape->n_bins ? d->shape->n_bins : n_bins;
}

static int output_open(struct decoding *d)
{
    const struct settings *s = d->settings;
    const char *input = s->input.in ? s->input.in : s->input.ticks;
    d->n_slab_bins = slab_bins(d);
    d->counts = malloc(d->n_slab_bins * d->shape->n_channels * sizeof(float));
    if (!d->counts) return tool_error(d->err, LATENT_E_NOMEM, "out of memory");
    struct results_about about = {.info = &d->info,
                                  .shape = d->shape,
                                  .mode = d->mode->name,
                                  .input = input,
                                  .n_slab_bins = d->n_slab_bins};
    return results_create(&d->results, s->out, &about, d->err);
}

/* Is the output the file of this argument (FILE or FILE:/DATASET, may be NULL)? */
static bool is_same_file(const char *out, const char *argument)
{
    struct stat a, b;
    char path[4096];
    const char *dataset = argument ? strstr(argument, ":/") : NULL;
    if (!argument || stat(out, &a)) return false;
    snprintf(path, sizeof path, "%.*s",
             dataset ? (int)(dataset - argument) : (int)strlen(argument), argument);
    return stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* A recording must not be lost by a slip of the hand. */
static int output_check(const struct settings *s, struct latent_error *err)
{
    const char *const kept[] = {s->model, s->input.in, s->input.ticks, s->input.units,
                                s->input.good};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (is_same_file(s->out, kept[i]))
            return tool_error(err, LATENT_E_CONFIG,
                              "--out %s is the file that %s reads: choose another name",
                              s->out, i == 0 ? "--model" : "the input");
    return 0;
}

static int decoding_open(struct decoding *d)
{
    const struct settings *s = d->settings;
    /* A recording has no gaps to predict over; some models could not. */
    const struct latent_options options = {.mode = s->mode, .on_gap = LATENT_GAP_RESET};
    int status = output_check(s, d->err);
    if (status) return status;
    status = latent_model_open(&d->model, s->model, d->err);
    if (status) return status;
    latent_model_info(d->model, &d->info);
    status = latent_decoder_new(&d->decoder, d->model, &options, d->err);
    if (status) return status;
    d->mode = latent_decoder_mode(d->decoder);
    status = reader_open(&d->reader, &s->input, d->err);
    if (status) return status;
    d->shape = reader_shape(d->reader);
    status = shapes_check(d);
    return status ? status : output_open(d);
}

static void decoding_close(struct decoding *d)
{
    results_abort(d->results);
    reader_close(d->reader);
    latent_decoder_free(d->decoder);
    latent_model_close(d->model);
    free(d->counts);
}

/* ---- decoding -----------------------------------------------------------------------
 */

static int core_fail(const struct decoding *d, int status, size_t trial, size_t bin)
{
    return tool_error(d->err, status, "trial %zu, bin %zu: %s", trial, bin,
                      latent_strerror(status));
}

/* One slab, bin by bin. The marks are those that latent-replay sends. */
static int slab_step(struct decoding *d, size_t trial, size_t first, size_t n)
{
    struct latent_frame frame;
    for (size_t i = 0; i < n; i++) {
        struct latent_bin bin = {
            .seq = d->seq,
            .t_source_ns = (d->seq + 1) * d->shape->bin_width_us * 1000,
            .marks = first + i == 0 ? LATENT_MARK_TRIAL_START : 0,
            .n_channels = d->info.n_channels,
            .counts = d->counts + i * d->info.n_channels,
        };
        int status = latent_decoder_step(d->decoder, &bin, &frame);
        if (status) return core_fail(d, status, trial, first + i);
        results_row_set(d->results, i, &frame);
        d->seq++;
    }
    return 0;
}

/* One whole trial in an offline mode; it has no flags. */
static int trial_decode(struct decoding *d, size_t trial)
{
    struct results_rows *rows = results_rows(d->results);
    int status = latent_decoder_trial(d->decoder, d->counts, d->shape->n_bins,
                                      rows->latents, rows->rates, rows->readout);
    return status ? core_fail(d, status, trial, 0) : 0;
}

static int slab_decode(struct decoding *d, size_t trial, size_t first, size_t n)
{
    int status = reader_rows(d->reader, trial, first, n, d->counts, d->err);
    if (status) return status;
    status = d->mode->offline ? trial_decode(d, trial) : slab_step(d, trial, first, n);
    if (!status) status = results_rows_write(d->results, trial, first, n);
    if (!status && stop_requested())
        status = tool_error(d->err, LATENT_E_IO, "stopped: nothing was written");
    return status;
}

static int recording_decode(struct decoding *d)
{
    const struct reader_shape *s = d->shape;
    int status = 0;
    progress_start(&d->progress, "decoding", s->n_trials * s->n_bins);
    for (size_t trial = 0; !status && trial < s->n_trials; trial++)
        for (size_t first = 0; !status && first < s->n_bins; first += d->n_slab_bins) {
            size_t left = s->n_bins - first;
            size_t n = left < d->n_slab_bins ? left : d->n_slab_bins;
            status = slab_decode(d, trial, first, n);
            progress_update(&d->progress, trial * s->n_bins + first + n);
        }
    progress_end(&d->progress);
    return status;
}

static int decode_run(const struct settings *settings, struct latent_error *err)
{
    struct decoding d = {.settings = settings, .err = err};
    stop_install();
    int status = decoding_open(&d);
    if (!status) status = recording_decode(&d);
    if (!status) {
        status = results_commit(d.results);
        d.results = NULL;
    }
    if (!status)
        printf(PROGRAM ": %zu x %zu bins by %s, mode %s -> %s\n", d.shape->n_trials,
               d.shape->n_bins, d.info.arch, d.mode->name, settings->out);
    decoding_close(&d);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    struct latent_error err;
    int status = settings_read(&settings, argc, argv, &err);
    if (status == OPTIONS_DONE) return 0;
    if (!status) status = decode_run(&settings, &err);
    if (status) fprintf(stderr, PROGRAM ": %s\n", err.text);
    return status ? 1 : 0;
}
