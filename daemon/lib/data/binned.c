/* Binned recordings: any numeric dataset [time, channels] or [trials, time, channels]. */
#include "data/binned.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "command/progress.h"
#include "command/stop.h"
#include "data/h5attr.h"
#include "data/h5in.h"

#define CHECK_VALUES (1u << 20) /* values read at once */

struct binned {
    struct h5in in;
    struct reader_shape shape;
};

static int width_find(const struct binned *b, double option_ms, uint32_t *out_us,
                      struct latent_error *err)
{
    static const struct h5fact width = {
        .option = "--bin-ms",
        .what = "bins of",
        .unit = "ms",
        .attributes = {{"bin_width_us", 0.001}, {"bin_width_ms", 1.0}},
    };
    char where[H5IN_NAME + 8];
    double width_ms;
    int status =
        h5fact_find(b->in.dataset, b->in.file, b->in.name, &width, option_ms, &width_ms, err);
    if (status) return status;
    if (width_ms <= 0.0)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: no attribute bin_width_ms or bin_width_us: give --bin-ms",
                          b->in.name);
    snprintf(where, sizeof where, "input %s", b->in.name);
    return reader_width(width_ms, where, out_us, err);
}

static int counts_check(const struct binned *b, size_t trial, size_t first, size_t n,
                        const float *counts, struct latent_error *err)
{
    const struct reader_shape *s = &b->shape;
    bool is_real = s->input == LATENT_INPUT_REAL;
    size_t i = latent_input_check(s->input, counts, n * s->n_channels);
    if (i == n * s->n_channels) return 0;
    char found[32];
    snprintf(found, sizeof found, "%g", (double)counts[i]);
    return error_text(
        err, LATENT_E_VALUE, "input %s: trial %zu, bin %zu, channel %zu: expected %s, found %s%s",
        b->in.name, trial, first + s->first_bin + i / s->n_channels, i % s->n_channels,
        is_real ? "a finite value" : "a count, whole and from 0 to 16777215",
        isnan(counts[i]) ? "NaN" : found,
        is_real || !isfinite(counts[i]) ? "" : "; --input real takes other values");
}

/* Reads all once: a wrong value is told before anything is sent or decoded. */
static int values_check(struct binned *b, struct latent_error *err)
{
    const struct reader_shape *s = &b->shape;
    size_t n_slab = CHECK_VALUES / s->n_channels + 1;
    if (n_slab > s->n_bins) n_slab = s->n_bins;
    float *counts = malloc(n_slab * s->n_channels * sizeof *counts);
    if (!counts) return error_text(err, LATENT_E_NOMEM, "out of memory");

    struct progress progress;
    int status = 0;
    progress_start(&progress, "checking", s->n_trials * s->n_bins);
    for (size_t trial = 0; !status && trial < s->n_trials; trial++)
        for (size_t first = 0; !status && first < s->n_bins; first += n_slab) {
            size_t n = s->n_bins - first < n_slab ? s->n_bins - first : n_slab;
            status = binned_rows(b, trial, first, n, counts, err);
            if (!status) status = counts_check(b, trial, first, n, counts, err);
            if (!status && stop_requested())
                status = error_text(err, LATENT_E_IO, "stopped while checking %s", b->in.name);
            progress_update(&progress, trial * s->n_bins + first + n);
        }
    progress_end(&progress);
    free(counts);
    return status;
}

/* --start and --seconds, in whole bins of a recording without trials. */
static int window_find(struct binned *b, const struct reader_options *o, struct latent_error *err)
{
    struct reader_shape *s = &b->shape;
    double width_s = s->bin_width_us * 1e-6, first = o->start_s / width_s;
    if (o->start_s <= 0.0 && o->seconds <= 0.0) return 0;
    if (s->has_trials)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: --start and --seconds belong to recordings without trials",
                          b->in.name);
    if (fabs(first - round(first)) > 1e-6)
        return error_text(err, LATENT_E_CONFIG,
                          "option --start: expected whole bins of %g ms, found %g s",
                          s->bin_width_us / 1000.0, o->start_s);
    double last =
        o->seconds > 0.0 ? round(first) + floor(o->seconds / width_s + 1e-6) : (double)s->n_bins;
    if (round(first) >= last || last > (double)s->n_bins)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: nothing from %g s on for %g s: it has %zu bins of %g ms, %g s",
                          b->in.name, o->start_s, o->seconds, s->n_bins, s->bin_width_us / 1000.0,
                          (double)s->n_bins * width_s);
    s->first_bin = (size_t)round(first);
    s->n_bins = (size_t)last - s->first_bin;
    s->start_s = o->start_s;
    return 0;
}

static int binned_prepare(struct binned *b, const struct reader_options *options,
                          struct latent_error *err)
{
    const size_t *dims = b->in.shape;
    int has_trials = b->in.rank == 3;
    b->shape = (struct reader_shape){.has_trials = has_trials,
                                     .n_trials = has_trials ? dims[0] : 1,
                                     .n_bins = dims[has_trials],
                                     .n_all_bins = dims[has_trials],
                                     .n_channels = dims[has_trials + 1],
                                     .input = reader_input(options)};
    int status = width_find(b, options->bin_ms, &b->shape.bin_width_us, err);
    if (!status) status = window_find(b, options, err);
    return status ? status : values_check(b, err);
}

int binned_open(struct binned **out, const struct reader_options *options,
                struct reader_shape *shape, struct latent_error *err)
{
    struct binned *b = calloc(1, sizeof *b);
    *out = NULL;
    if (!b) return error_text(err, LATENT_E_NOMEM, "out of memory");
    int status = h5in_open(&b->in, options->in, reader_axes(options), 2, 3, err);
    if (!status) status = binned_prepare(b, options, err);
    if (status) {
        binned_close(b);
        return status;
    }
    *shape = b->shape;
    *out = b;
    return 0;
}

int binned_rows(struct binned *b, size_t trial, size_t first, size_t n, float *counts,
                struct latent_error *err)
{
    size_t start[3] = {trial, first + b->shape.first_bin, 0}, box[3] = {1, n, b->shape.n_channels};
    int skip = b->shape.has_trials ? 0 : 1;
    return h5in_read_floats(&b->in, start + skip, box + skip, counts, err);
}

void binned_close(struct binned *b)
{
    if (!b) return;
    h5in_close(&b->in);
    free(b);
}
