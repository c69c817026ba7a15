/* Samples of behaviour: where they are, when they were, and their place on the bins. */
#include "data/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/clock.h"
#include "data/h5attr.h"

#define GAP_MEDIANS 5.0
#define SAME_TIME 1e-6 /* of a bin: two times that are one but for rounding */

void samples_free(struct samples *s)
{
    h5in_close(&s->in);
    free(s->values);
    free(s->times);
    free(s->use);
    s->values = s->times = s->use = NULL;
}

/* ---- where they are ----------------------------------------------------------------- */

/* One number of a dataset, and one attribute of it: NWB's starting_time and its rate. */
static int starting_time_read(struct samples *s, const char *place, struct latent_error *err)
{
    struct h5in in;
    double *start = NULL;
    int status = h5in_open(&in, place, H5IN_AXES_ASK, 0, 1, err);
    if (status) return status;
    status = h5in_read_all(&in, &start, err);
    int found = status ? status : h5attr_number(in.dataset, "rate", in.name, &s->hz, err);
    if (!status && found == 0)
        status = error_text(err, LATENT_E_FORMAT, "input %s: no attribute rate", in.name);
    if (found < 0) status = found;
    if (!status) s->start_s = start[0];
    if (!status && s->hz <= 0.0)
        status = error_text(err, LATENT_E_VALUE, "input %s: a rate of %g Hz: expected more than 0",
                            in.name, s->hz);
    free(start);
    h5in_close(&in);
    return status;
}

/* A TimeSeries of NWB: data, with timestamps or with a starting time and a rate. */
static int series_find(struct samples *s, const char *group, struct latent_error *err)
{
    char start[H5IN_NAME];
    snprintf(s->values_place, H5IN_NAME, "%.480s/data", group);
    snprintf(s->times_place, H5IN_NAME, "%.480s/timestamps", group);
    snprintf(start, H5IN_NAME, "%.480s/starting_time", group);
    if (h5in_is_dataset(s->times_place)) return 0;
    s->times_place[0] = '\0';
    if (h5in_is_dataset(start)) return starting_time_read(s, start, err);
    return error_text(err, LATENT_E_FORMAT,
                      "input %s: a group without timestamps and without starting_time: expected a "
                      "dataset, or a TimeSeries of NWB",
                      group);
}

int samples_find(struct samples *s, const struct behaviour_options *o,
                 const struct reader_options *input, struct latent_error *err)
{
    const char *home = input->in ? input->in : input->ticks;
    h5in_place(s->values_place, o->values, home);
    if (o->times) h5in_place(s->times_place, o->times, s->values_place);
    s->hz = o->hz;
    s->start_s = o->start_s;
    if (!h5in_is_group(s->values_place)) return 0;
    if (o->times || o->hz > 0.0)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: a TimeSeries has its own times: leave --behaviour-times and "
                          "--behaviour-hz out",
                          s->values_place);
    char group[H5IN_NAME];
    snprintf(group, sizeof group, "%s", s->values_place);
    return series_find(s, group, err);
}

/* ---- times -------------------------------------------------------------------------- */

static int times_convert(struct samples *s, const struct h5in *in, double hz,
                         struct latent_error *err)
{
    for (size_t i = 0; i < s->n; i++) {
        s->times[i] /= hz;
        if (i > 0 && s->times[i] <= s->times[i - 1])
            return error_text(err, LATENT_E_VALUE,
                              "input %s: value %zu: expected later than the one before it (%.10g "
                              "s), found %.10g s",
                              in->name, i, s->times[i - 1], s->times[i]);
    }
    return 0;
}

static int times_of_dataset(struct samples *s, const struct behaviour_options *o, double spikes_hz,
                            struct latent_error *err)
{
    struct h5in in;
    double hz = 0.0;
    int status = h5in_open(&in, s->times_place, H5IN_AXES_ASK, 1, 1, err);
    if (status) return status;
    if (in.shape[0] != s->n)
        status = error_text(err, LATENT_E_SHAPE,
                            "input %s has %zu times, %s has %zu samples: expected one for each",
                            in.name, in.shape[0], s->values_place, s->n);
    if (!status) status = h5in_read_all(&in, &s->times, err);
    if (!status) status = clock_find(&in, "--behaviour-clock-hz", o->clock_hz, &hz, err);
    if (hz <= 0.0) hz = spikes_hz;
    if (!status && hz <= 0.0)
        status = error_text(err, LATENT_E_CONFIG,
                            "input %s: no attribute clock_hz: give --behaviour-clock-hz (1: "
                            "seconds)",
                            in.name);
    if (!status) status = clock_check(&in, hz, "--behaviour-clock-hz", s->times, s->n, err);
    if (!status) status = times_convert(s, &in, hz, err);
    h5in_close(&in);
    return status;
}

static int times_read(struct samples *s, const struct behaviour_options *o, double spikes_hz,
                      struct latent_error *err)
{
    if (s->times_place[0]) return times_of_dataset(s, o, spikes_hz, err);
    s->times = calloc(s->n, sizeof *s->times);
    if (!s->times) return error_text(err, LATENT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < s->n; i++) s->times[i] = s->start_s + (double)i / s->hz;
    return 0;
}

static int use_read(struct samples *s, const char *place, struct latent_error *err)
{
    struct h5in in;
    int status = h5in_open(&in, place, H5IN_AXES_ASK, 1, 1, err);
    if (status) return status;
    if (in.shape[0] != s->n)
        status = error_text(err, LATENT_E_SHAPE,
                            "input %s has %zu values, %s has %zu samples: expected one for each",
                            in.name, in.shape[0], s->values_place, s->n);
    if (!status) status = h5in_read_all(&in, &s->use, err);
    for (size_t i = 0; !status && i < s->n; i++)
        if (!isfinite(s->use[i]))
            status =
                error_text(err, LATENT_E_VALUE, "input %s: value %zu: expected a number, found %g",
                           in.name, i, s->use[i]);
    h5in_close(&in);
    return status;
}

int samples_read(struct samples *s, const struct behaviour_options *o,
                 const struct reader_options *input, const struct reader_shape *shape,
                 struct latent_error *err)
{
    char use[H5IN_NAME];
    if (shape->has_trials)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: times of samples belong to recordings without trials: bins of "
                          "trials have no times",
                          s->values_place);
    int status = h5in_open(&s->in, s->values_place, reader_axes(input), 1, 2, err);
    if (status) return status;
    s->n = s->in.shape[0];
    s->n_dims = s->in.rank == 2 ? s->in.shape[1] : 1;
    status = h5in_read_all(&s->in, &s->values, err);
    if (!status) status = times_read(s, o, shape->clock_hz, err);
    if (!status && o->use) {
        h5in_place(use, o->use, input->in ? input->in : input->ticks);
        status = use_read(s, use, err);
    }
    return status;
}

/* ---- on the bins -------------------------------------------------------------------- */

static int double_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The limit: as asked, or by the median distance of two samples. Negative: no memory. */
static double gap_limit(const struct samples *s, double max_gap_ms, double width_s)
{
    if (max_gap_ms > 0.0) return max_gap_ms / 1000.0;
    if (s->n < 2) return width_s;
    double *distance = calloc(s->n - 1, sizeof *distance);
    if (!distance) return -1.0;
    for (size_t i = 0; i + 1 < s->n; i++) distance[i] = s->times[i + 1] - s->times[i];
    qsort(distance, s->n - 1, sizeof *distance, double_order);
    double limit = fmax(GAP_MEDIANS * distance[(s->n - 1) / 2], width_s);
    free(distance);
    return limit;
}

/* At least half of the bins must have behaviour: less is a wrong unit, or another recording. */
static int overlap_check(const struct samples *s, const struct reader_shape *shape,
                         struct latent_error *err)
{
    double width_s = shape->bin_width_us * 1e-6, from = shape->start_s;
    double to = from + (double)shape->n_bins * width_s;
    double first = fmax(from, floor(s->times[0] / width_s + SAME_TIME) * width_s);
    double last = fmin(to, floor(s->times[s->n - 1] / width_s + SAME_TIME) * width_s);
    const char *place = s->times_place[0] ? s->times_place : s->values_place;
    if (last - first >= (to - from) / 2.0 - SAME_TIME * width_s) return 0;
    if (last - first < width_s)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: its times go from %g s to %g s, the bins from %g s to %g s: "
                          "no bin has behaviour: is the clock right (--behaviour-clock-hz)?",
                          place, s->times[0], s->times[s->n - 1], from, to);
    return error_text(err, LATENT_E_CONFIG,
                      "input %s: its times go from %g s to %g s, the bins from %g s to %g s: fewer "
                      "than half of the bins have behaviour: if the clock is right "
                      "(--behaviour-clock-hz), --start %.10g --seconds %.10g take those",
                      place, s->times[0], s->times[s->n - 1], from, to, first, last - first);
}

static void row_set(const struct samples *s, size_t i, double weight, double *row, uint8_t *use)
{
    size_t next = weight > 0.0 ? i + 1 : i, d = s->n_dims;
    for (size_t k = 0; k < d; k++) {
        double a = s->values[i * d + k], b = s->values[next * d + k];
        row[k] = weight > 0.0 ? a + weight * (b - a) : a;
    }
    *use = !s->use || (s->use[i] != 0.0 && s->use[next] != 0.0);
}

/* The bins in order: i is the last sample that is not after the end of bin k. */
static void rows_set(const struct samples *s, const struct reader_shape *shape,
                     struct behaviour *out)
{
    double width_s = shape->bin_width_us * 1e-6, same = SAME_TIME * width_s;
    size_t i = 0;
    for (size_t k = 0; k < shape->n_bins; k++) {
        double end = shape->start_s + (double)(k + 1) * width_s;
        while (i + 1 < s->n && s->times[i + 1] <= end + same) i++;
        double *row = out->values + k * s->n_dims;
        for (size_t d = 0; d < s->n_dims; d++) row[d] = (double)NAN;
        out->use[k] = 0;
        double behind = end - s->times[i];
        double gap = i + 1 < s->n ? s->times[i + 1] - s->times[i] : 0.0;
        if (fabs(behind) <= same)
            row_set(s, i, 0.0, row, &out->use[k]);
        else if (behind < 0.0 || i + 1 == s->n)
            out->n_outside++;
        else if (gap > out->max_gap_s + same)
            out->n_in_gaps++;
        else
            row_set(s, i, behind / gap, row, &out->use[k]);
    }
}

int samples_lay(const struct samples *s, double max_gap_ms, const struct reader_shape *shape,
                struct behaviour *out, struct latent_error *err)
{
    int status = overlap_check(s, shape, err);
    if (status) return status;
    out->max_gap_s = gap_limit(s, max_gap_ms, shape->bin_width_us * 1e-6);
    out->n_dims = s->n_dims;
    out->values = calloc(shape->n_bins * s->n_dims, sizeof *out->values);
    if (!out->values || out->max_gap_s < 0.0)
        return error_text(err, LATENT_E_NOMEM, "out of memory");
    rows_set(s, shape, out);
    return 0;
}
