/* Bins as they would be decoded, into an .npz. */
#include "latent-decode/bins.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "command/stop.h"
#include "data/npzout.h"

#define SLAB_VALUES (1u << 18) /* counts read at once */

struct bins {
    struct reader *reader;
    const struct reader_shape *shape;
    struct npzout *out;
    struct latent_error *err;
};

/* [time] or [trials, time]: the leading axes. Returns how many. */
static int leading_axes(const struct reader_shape *s, size_t shape[3])
{
    int rank = 0;
    if (s->has_trials) shape[rank++] = s->n_trials;
    shape[rank++] = s->n_bins;
    return rank;
}

static int trial_put(const struct bins *b, size_t trial, size_t n_slab, float *counts)
{
    const struct reader_shape *s = b->shape;
    for (size_t first = 0; first < s->n_bins; first += n_slab) {
        size_t n = s->n_bins - first < n_slab ? s->n_bins - first : n_slab;
        int status = reader_rows(b->reader, trial, first, n, counts, b->err);
        if (status) return status;
        if (stop_requested())
            return error_text(b->err, LATENT_E_IO, "stopped: nothing was written");
        npzout_write(b->out, counts, n * s->n_channels * sizeof *counts);
    }
    return 0;
}

static int counts_put(const struct bins *b)
{
    const struct reader_shape *s = b->shape;
    size_t shape[3], n_slab = SLAB_VALUES / s->n_channels + 1;
    int rank = leading_axes(s, shape), status = 0;
    float *counts = malloc(n_slab * s->n_channels * sizeof *counts);
    if (!counts) return error_text(b->err, LATENT_E_NOMEM, "out of memory");
    shape[rank++] = s->n_channels;
    npzout_begin(b->out, "counts", NPZ_FLOAT32, rank, shape);
    for (size_t trial = 0; !status && trial < s->n_trials; trial++)
        status = trial_put(b, trial, n_slab, counts);
    if (!status) npzout_end(b->out);
    free(counts);
    return status;
}

/* Every bin is fitted and scored. */
static int use_put(const struct bins *b)
{
    size_t shape[3], n = b->shape->n_trials * b->shape->n_bins;
    int rank = leading_axes(b->shape, shape);
    uint8_t *use = malloc(n);
    if (!use) return error_text(b->err, LATENT_E_NOMEM, "out of memory");
    memset(use, 1, n);
    npzout_array(b->out, "use", NPZ_BOOL, rank, shape, use);
    free(use);
    return 0;
}

static int arrays_put(const struct bins *b)
{
    int64_t width_us = b->shape->bin_width_us;
    int status = counts_put(b);
    if (!status) status = use_put(b);
    npzout_array(b->out, "bin_width_us", NPZ_INT64, 0, NULL, &width_us);
    return status;
}

int bins_write(const struct reader_options *options, const char *out, struct latent_error *err)
{
    struct bins b = {.err = err};
    int status = reader_open(&b.reader, options, err);
    if (status) return status;
    b.shape = reader_shape(b.reader);
    b.out = npzout_create(out, err);
    status = b.out ? arrays_put(&b) : err->status;
    if (!status)
        status = npzout_commit(b.out);
    else
        npzout_abort(b.out);
    if (!status)
        printf("latent-decode: %zu x %zu bins of %zu channels, %g ms -> %s\n", b.shape->n_trials,
               b.shape->n_bins, b.shape->n_channels, b.shape->bin_width_us / 1000.0, out);
    reader_close(b.reader);
    return status;
}
