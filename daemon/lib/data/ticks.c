/* Spike ticks -> counts. Bin k holds start + k width <= tick < start + (k + 1) width. */
#include "data/ticks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/h5in.h"

#define MOST_UNITS 65536
#define MOST_BINS 4294967295.0
#define NO_COLUMN UINT32_MAX

struct spike {
    uint32_t bin, column;
};

struct ticks {
    struct reader_shape shape;
    struct spike *spikes; /* inside the window, bins ascending */
    size_t n_spikes;
};

/* What a recording consists of while it is opened. */
struct recording {
    struct h5in tick, unit, good;
    double *ticks, *units, *goods; /* goods: NULL without --good */
    size_t n_spikes, n_units;
    uint32_t *columns; /* of each unit, NO_COLUMN for a left out one [n_units] */
    double clock_hz, start_tick, ticks_per_bin;
};

static void recording_close(struct recording *r)
{
    h5in_close(&r->tick);
    h5in_close(&r->unit);
    h5in_close(&r->good);
    free(r->ticks);
    free(r->units);
    free(r->goods);
    free(r->columns);
}

static int recording_open(struct recording *r, const struct reader_options *o,
                          struct latent_error *err)
{
    int status = h5in_open(&r->tick, o->ticks, 1, 1, err);
    if (!status) status = h5in_open(&r->unit, o->units, 1, 1, err);
    if (!status && o->good) status = h5in_open(&r->good, o->good, 1, 1, err);
    if (status) return status;

    r->n_spikes = r->tick.shape[0];
    if (r->unit.shape[0] != r->n_spikes)
        return error_text(err, LATENT_E_SHAPE,
                          "input %s has %zu spikes, %s has %zu: expected one unit for each spike",
                          r->tick.name, r->n_spikes, r->unit.name, r->unit.shape[0]);
    status = h5in_read_all(&r->tick, &r->ticks, err);
    if (!status) status = h5in_read_all(&r->unit, &r->units, err);
    if (!status && o->good) status = h5in_read_all(&r->good, &r->goods, err);
    return status;
}

/* Finite and not negative; units also whole and below `limit`. */
static int values_check(const struct h5in *in, const double *values, size_t n, int whole,
                        double limit, struct latent_error *err)
{
    for (size_t i = 0; i < n; i++) {
        double x = values[i];
        if (!isfinite(x) || x < 0.0 || x >= limit || (whole && x != floor(x)))
            return error_text(err, LATENT_E_VALUE,
                              "input %s: value %zu: expected a %s from 0 to below %g, found %g",
                              in->name, i, whole ? "whole number" : "number", limit, x);
    }
    return 0;
}

static int recording_check(struct recording *r, struct latent_error *err)
{
    r->n_units = r->goods ? r->good.shape[0] : 0;
    double limit = r->goods ? (double)r->n_units : MOST_UNITS;
    int status = values_check(&r->tick, r->ticks, r->n_spikes, 0, 1e18, err);
    if (!status) status = values_check(&r->unit, r->units, r->n_spikes, 1, limit, err);
    for (size_t i = 0; !status && !r->goods && i < r->n_spikes; i++)
        if ((size_t)r->units[i] >= r->n_units) r->n_units = (size_t)r->units[i] + 1;
    return status;
}

/* Numbers the units that are used, in ascending order. Returns how many. */
static size_t columns_assign(struct recording *r)
{
    uint32_t n_columns = 0;
    for (size_t unit = 0; unit < r->n_units; unit++) {
        int used = !r->goods || r->goods[unit] != 0.0;
        r->columns[unit] = used ? n_columns++ : NO_COLUMN;
    }
    return n_columns;
}

static int clock_find(struct recording *r, const struct reader_options *o, struct latent_error *err)
{
    r->clock_hz = o->clock_hz > 0.0 ? o->clock_hz : h5in_attribute(&r->tick, "clock_hz");
    if (r->clock_hz <= 0.0)
        return error_text(err, LATENT_E_CONFIG, "input %s: no attribute clock_hz: give --clock-hz",
                          r->tick.name);
    double width_us = o->bin_ms * 1000.0;
    if (width_us < 1.0 || width_us > 1e9 || fabs(width_us - round(width_us)) > 1e-6)
        return error_text(err, LATENT_E_CONFIG,
                          "option --bin-ms: with --ticks expected a width in whole "
                          "microseconds, found %g ms",
                          o->bin_ms);
    r->ticks_per_bin = round(width_us) * r->clock_hz / 1e6;
    r->start_tick = o->start_s * r->clock_hz;
    return 0;
}

/* --seconds, or up to and with the last spike. Only whole bins. */
static int window_find(const struct recording *r, const struct reader_options *o, size_t *out_bins,
                       struct latent_error *err)
{
    double last = 0.0;
    for (size_t i = 0; i < r->n_spikes; i++)
        if (r->ticks[i] > last) last = r->ticks[i];
    double n_bins = floor((last - r->start_tick) / r->ticks_per_bin) + 1.0;
    /* The small number keeps 0.3 s in 0.1 s bins at 3. */
    if (o->seconds > 0.0) n_bins = floor(o->seconds * r->clock_hz / r->ticks_per_bin + 1e-9);
    if (n_bins < 1.0 || n_bins > MOST_BINS || r->start_tick > last)
        return error_text(
            err, LATENT_E_CONFIG,
            "input %s: nothing from %g s on for %g s: the last spike is at %g s, bins are %g ms",
            r->tick.name, o->start_s, o->seconds, last / r->clock_hz, o->bin_ms);
    *out_bins = (size_t)n_bins;
    return 0;
}

static int spike_order(const void *a, const void *b)
{
    uint32_t x = ((const struct spike *)a)->bin, y = ((const struct spike *)b)->bin;
    return (x > y) - (x < y);
}

static void spikes_collect(struct ticks *t, const struct recording *r)
{
    for (size_t i = 0; i < r->n_spikes; i++) {
        double bin = floor((r->ticks[i] - r->start_tick) / r->ticks_per_bin);
        uint32_t column = r->columns[(size_t)r->units[i]];
        if (bin < 0.0 || bin >= (double)t->shape.n_bins || column == NO_COLUMN) continue;
        t->spikes[t->n_spikes++] = (struct spike){(uint32_t)bin, column};
    }
    qsort(t->spikes, t->n_spikes, sizeof *t->spikes, spike_order);
}

static int ticks_build(struct ticks *t, struct recording *r, const struct reader_options *o,
                       struct latent_error *err)
{
    int status = recording_open(r, o, err);
    if (!status) status = recording_check(r, err);
    if (!status) status = clock_find(r, o, err);
    if (!status) status = window_find(r, o, &t->shape.n_bins, err);
    if (status) return status;

    r->columns = calloc(r->n_units, sizeof *r->columns);
    t->spikes = calloc(r->n_spikes, sizeof *t->spikes);
    if (!r->columns || !t->spikes) return error_text(err, LATENT_E_NOMEM, "out of memory");
    t->shape.n_channels = columns_assign(r);
    if (t->shape.n_channels == 0)
        return error_text(err, LATENT_E_VALUE, "input %s: no unit is good", r->good.name);
    t->shape.n_trials = 1;
    t->shape.bin_width_us = (uint32_t)lround(o->bin_ms * 1000.0);
    spikes_collect(t, r);
    return 0;
}

int ticks_open(struct ticks **out, const struct reader_options *options, struct reader_shape *shape,
               struct latent_error *err)
{
    struct recording recording = {0};
    struct ticks *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t) return error_text(err, LATENT_E_NOMEM, "out of memory");
    int status = ticks_build(t, &recording, options, err);
    recording_close(&recording);
    if (status) {
        ticks_close(t);
        return status;
    }
    *shape = t->shape;
    *out = t;
    return 0;
}

/* The first spike that is not before `bin`. */
static size_t spike_find(const struct ticks *t, size_t bin)
{
    size_t low = 0, high = t->n_spikes;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->spikes[middle].bin < bin)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void ticks_rows(const struct ticks *t, size_t first, size_t n, float *counts)
{
    memset(counts, 0, n * t->shape.n_channels * sizeof *counts);
    for (size_t i = spike_find(t, first); i < t->n_spikes; i++) {
        const struct spike *s = &t->spikes[i];
        if (s->bin >= first + n) return;
        counts[(s->bin - first) * t->shape.n_channels + s->column] += 1.0f;
    }
}

void ticks_close(struct ticks *t)
{
    if (!t) return;
    free(t->spikes);
    free(t);
}
