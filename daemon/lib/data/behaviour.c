/* Behaviour by bin, or by samples that have times of their own. */
#include "data/behaviour.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/samples.h"

static int options_check(const struct behaviour_options *o, struct latent_error *err)
{
    int timed = o->times || o->clock_hz > 0.0 || o->hz > 0.0 || o->start_s > 0.0;
    const struct {
        int broken;
        const char *text;
    } rules[] = {
        {!o->values && (timed || o->max_gap_ms > 0.0),
         "--behaviour-times, --behaviour-clock-hz, --behaviour-hz, --behaviour-start and --max-gap "
         "go with --behaviour"},
        {o->times && (o->hz > 0.0 || o->start_s > 0.0),
         "--behaviour-times goes without --behaviour-hz and --behaviour-start"},
        {o->start_s > 0.0 && o->hz <= 0.0, "--behaviour-start goes with --behaviour-hz"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].broken) return error_text(err, LATENT_E_CONFIG, "%s", rules[i].text);
    return 0;
}

/* ---- one value, or row of values, for each bin --------------------------------------- */

/* Opens [trials, time] or [time], of as many bins as the recording, with one more axis or without.
 * The bins read: those of the window. */
static int of_bins_open(struct h5in *in, const char *place, const struct reader_options *input,
                        const struct reader_shape *s, int more_axes, struct latent_error *err)
{
    int rank = s->has_trials ? 2 : 1;
    int highest = rank + more_axes;
    int status = h5in_open(in, place, reader_axes(input), rank, highest, err);
    if (status) return status;
    size_t n_bins = in->shape[rank - 1], n_trials = s->has_trials ? in->shape[0] : 1;
    if (n_trials == s->n_trials && n_bins == s->n_all_bins) return 0;
    h5in_close(in);
    return error_text(err, LATENT_E_SHAPE,
                      "input %s: has %zu x %zu bins, the recording %zu x %zu: expected the same%s",
                      place, n_trials, n_bins, s->n_trials, s->n_all_bins,
                      s->has_trials ? "" : ", or samples with --behaviour-times");
}

/* The rows of the window; the caller frees *out. */
static int of_bins_read(const struct h5in *in, const struct reader_shape *s, double **out,
                        size_t *n_dims, struct latent_error *err)
{
    int rank = s->has_trials ? 2 : 1;
    size_t start[3] = {0}, n[3] = {0};
    for (int i = 0; i < in->rank; i++) n[i] = in->shape[i];
    *n_dims = in->rank > rank ? in->shape[rank] : 1;
    start[rank - 1] = s->first_bin;
    n[rank - 1] = s->n_bins;
    *out = calloc(s->n_trials * s->n_bins * *n_dims, sizeof **out);
    if (!*out) return error_text(err, LATENT_E_NOMEM, "out of memory");
    return h5in_read_doubles(in, start, n, *out, err);
}

static int values_of_bins(struct behaviour *out, const struct samples *s,
                          const struct reader_options *input, const struct reader_shape *shape,
                          struct latent_error *err)
{
    struct h5in in;
    int status = of_bins_open(&in, s->values_place, input, shape, 1, err);
    if (status) return status;
    status = of_bins_read(&in, shape, &out->values, &out->n_dims, err);
    h5in_close(&in);
    return status;
}

static int use_of_bins(struct behaviour *out, const char *option,
                       const struct reader_options *input, const struct reader_shape *shape,
                       struct latent_error *err)
{
    char place[H5IN_NAME];
    struct h5in in;
    double *use = NULL;
    size_t n_dims, n_rows = shape->n_trials * shape->n_bins;
    h5in_place(place, option, input->in ? input->in : input->ticks);
    int status = of_bins_open(&in, place, input, shape, 0, err);
    if (status) return status;
    status = of_bins_read(&in, shape, &use, &n_dims, err);
    for (size_t i = 0; !status && i < n_rows; i++) {
        out->use[i] = use[i] != 0.0;
        if (!isfinite(use[i]))
            status = error_text(err, LATENT_E_VALUE,
                                "input %s: trial %zu, bin %zu: expected a number, found %g", place,
                                i / shape->n_bins, i % shape->n_bins + shape->first_bin, use[i]);
    }
    free(use);
    h5in_close(&in);
    return status;
}

/* ---- both ---------------------------------------------------------------------------- */

static int values_read(struct behaviour *out, struct samples *s, const struct behaviour_options *o,
                       const struct reader_options *input, const struct reader_shape *shape,
                       struct latent_error *err)
{
    int status = samples_find(s, o, input, err);
    if (status) return status;
    if (!s->times_place[0] && s->hz <= 0.0) {
        status = values_of_bins(out, s, input, shape, err);
        return status || !o->use ? status : use_of_bins(out, o->use, input, shape, err);
    }
    status = samples_read(s, o, input, shape, err);
    return status ? status : samples_lay(s, o->max_gap_ms, shape, out, err);
}

/* NaN is allowed where nothing is fitted. */
static int values_check(const struct behaviour *b, const char *place,
                        const struct reader_shape *shape, struct latent_error *err)
{
    size_t n_rows = shape->n_trials * shape->n_bins, n_used = 0;
    for (size_t i = 0; i < n_rows; i++) {
        n_used += b->use[i];
        for (size_t k = 0; b->use[i] && k < b->n_dims; k++)
            if (!isfinite(b->values[i * b->n_dims + k]))
                return error_text(err, LATENT_E_VALUE,
                                  "input %s: trial %zu, bin %zu, column %zu: expected a finite "
                                  "value, found %s: --use says which to leave out",
                                  place, i / shape->n_bins, i % shape->n_bins + shape->first_bin, k,
                                  isnan(b->values[i * b->n_dims + k]) ? "NaN" : "infinity");
    }
    if (n_used) return 0;
    return error_text(err, LATENT_E_VALUE, "input %s: no bin is left to fit or to score", place);
}

int behaviour_read(struct behaviour *out, const struct behaviour_options *options,
                   const struct reader_options *input, const struct reader_shape *shape,
                   struct latent_error *err)
{
    struct samples *samples = calloc(1, sizeof *samples);
    size_t n_rows = shape->n_trials * shape->n_bins;
    *out = (struct behaviour){.use = malloc(n_rows)};
    int status = LATENT_E_NOMEM;
    if (samples && out->use)
        status = options_check(options, err);
    else
        error_text(err, status, "out of memory");
    if (!status) memset(out->use, 1, n_rows);
    if (!status && options->values) {
        status = values_read(out, samples, options, input, shape, err);
        if (!status) status = values_check(out, samples->values_place, shape, err);
    } else if (!status && options->use)
        status = use_of_bins(out, options->use, input, shape, err);
    if (samples) samples_free(samples);
    free(samples);
    if (status) behaviour_free(out);
    return status;
}

void behaviour_free(struct behaviour *b)
{
    free(b->values);
    free(b->use);
    *b = (struct behaviour){0};
}
