/* Bins as they would be decoded, into an .npz. */
#include "latent-decode/bins.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "command/stop.h"
#include "data/npzout.h"
#include "latent-decode/extras.h"

#define SLAB_VALUES (1u << 18) /* counts read at once */

struct bins {
    const struct bins_options *options;
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

static void behaviour_put(const struct bins *b, const struct behaviour *behaviour)
{
    size_t shape[3];
    int rank = leading_axes(b->shape, shape);
    npzout_array(b->out, "use", NPZ_BOOL, rank, shape, behaviour->use);
    if (!behaviour->values) return;
    shape[rank++] = behaviour->n_dims;
    npzout_array(b->out, "behaviour", NPZ_FLOAT64, rank, shape, behaviour->values);
}

static int facts_put(const struct bins *b)
{
    const struct reader_shape *s = b->shape;
    const char *input = latent_input_name(s->input);
    int64_t width_us = s->bin_width_us;
    int64_t *channels = calloc(s->n_channels, sizeof *channels);
    if (!channels) return error_text(b->err, LATENT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < s->n_channels; i++) channels[i] = reader_channels(b->reader)[i];
    npzout_array(b->out, "channels", NPZ_INT64, 1, &s->n_channels, channels);
    npzout_array(b->out, "bin_width_us", NPZ_INT64, 0, NULL, &width_us);
    npzout_array(b->out, "start_s", NPZ_FLOAT64, 0, NULL, &s->start_s);
    npzout_texts(b->out, "input", 0, &input);
    free(channels);
    return 0;
}

static void say(const struct bins *b, const struct behaviour *behaviour)
{
    const struct reader_shape *s = b->shape;
    if (behaviour->n_outside || behaviour->n_in_gaps)
        printf("latent-decode: behaviour: of %zu bins %zu are before its first or after its last "
               "sample, %zu in gaps longer than %g ms: not used\n",
               s->n_bins, behaviour->n_outside, behaviour->n_in_gaps,
               behaviour->max_gap_s * 1000.0);
    printf("latent-decode: %zu x %zu bins of %zu channels, %g ms -> %s\n", s->n_trials, s->n_bins,
           s->n_channels, s->bin_width_us / 1000.0, b->options->out);
}

/* Everything is read and checked before the file is begun. */
static int file_write(struct bins *b, const struct behaviour *behaviour,
                      const struct extras *extras)
{
    b->out = npzout_create(b->options->out, b->err);
    if (!b->out) return b->err->status;
    int status = counts_put(b);
    if (!status) status = facts_put(b);
    if (status) {
        npzout_abort(b->out);
        return status;
    }
    behaviour_put(b, behaviour);
    extras_put(extras, b->out);
    status = npzout_commit(b->out);
    if (!status) say(b, behaviour);
    return status;
}

int bins_write(const struct bins_options *options, struct latent_error *err)
{
    struct bins b = {.options = options, .err = err};
    struct behaviour behaviour = {0};
    struct extras extras = {0};
    int status = reader_open(&b.reader, &options->input, err);
    if (status) return status;
    b.shape = reader_shape(b.reader);
    status = behaviour_read(&behaviour, &options->behaviour, &options->input, b.shape, err);
    if (!status) status = extras_read(&extras, options, b.shape, err);
    if (!status) status = file_write(&b, &behaviour, &extras);
    behaviour_free(&behaviour);
    extras_free(&extras);
    reader_close(b.reader);
    return status;
}
