/* Binned recordings: any numeric dataset [time, channels] or [trials, time, channels]. */
#include "data/binned.h"

#include <math.h>
#include <stdlib.h>

#include "base/text.h"
#include "command/progress.h"
#include "command/stop.h"
#include "data/h5in.h"

#define CHECK_VALUES (1u << 20) /* values read at once */

struct binned {
    struct h5in in;
    struct reader_shape shape;
};

/* The attributes say it, or --bin-ms; both must not disagree. */
static int width_find(const struct binned *b, double option_ms, uint32_t *out_us,
                      struct latent_error *err)
{
    double width_us = h5in_attribute(&b->in, "bin_width_us");
    if (width_us <= 0.0) width_us = 1000.0 * h5in_attribute(&b->in, "bin_width_ms");
    if (width_us > 0.0 && option_ms > 0.0 && fabs(width_us - 1000.0 * option_ms) > 0.5)
        return error_text(
            err, LATENT_E_CONFIG,
            "input %s: its attribute says bins of %g ms, --bin-ms says %g: leave --bin-ms out",
            b->in.name, width_us / 1000.0, option_ms);
    if (width_us <= 0.0) width_us = 1000.0 * option_ms;
    if (width_us <= 0.0)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: no attribute bin_width_ms or bin_width_us: give --bin-ms",
                          b->in.name);
    if (width_us < 1.0 || width_us > 1e9 || fabs(width_us - round(width_us)) > 1e-3)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: bins of %g us: expected whole microseconds", b->in.name,
                          width_us);
    *out_us = (uint32_t)lround(width_us);
    return 0;
}

static int counts_check(const struct binned *b, size_t trial, size_t first, size_t n,
                        const float *counts, struct latent_error *err)
{
    const struct reader_shape *s = &b->shape;
    for (size_t i = 0; i < n * s->n_channels; i++)
        if (!isfinite(counts[i]) || counts[i] < 0.0f)
            return error_text(err, LATENT_E_VALUE,
                              "input %s: trial %zu, bin %zu, channel %zu: expected a "
                              "count, 0 or more, found %g",
                              b->in.name, trial, first + i / s->n_channels, i % s->n_channels,
                              (double)counts[i]);
    return 0;
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

static int binned_prepare(struct binned *b, const struct reader_options *options,
                          struct latent_error *err)
{
    const size_t *dims = b->in.shape;
    int has_trials = b->in.rank == 3;
    b->shape = (struct reader_shape){.has_trials = has_trials,
                                     .n_trials = has_trials ? dims[0] : 1,
                                     .n_bins = dims[has_trials],
                                     .n_channels = dims[has_trials + 1]};
    int status = width_find(b, options->bin_ms, &b->shape.bin_width_us, err);
    return status ? status : values_check(b, err);
}

int binned_open(struct binned **out, const struct reader_options *options,
                struct reader_shape *shape, struct latent_error *err)
{
    struct binned *b = calloc(1, sizeof *b);
    *out = NULL;
    if (!b) return error_text(err, LATENT_E_NOMEM, "out of memory");
    int status = h5in_open(&b->in, options->in, 2, 3, err);
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
    size_t start[3] = {trial, first, 0}, box[3] = {1, n, b->shape.n_channels};
    int skip = b->shape.has_trials ? 0 : 1;
    return h5in_read(&b->in, start + skip, box + skip, H5T_NATIVE_FLOAT, counts, err);
}

void binned_close(struct binned *b)
{
    if (!b) return;
    h5in_close(&b->in);
    free(b);
}
