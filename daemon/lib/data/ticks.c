/* Spike times -> counts. Bin k holds start + k width <= time < start + (k + 1) width. */
#include "data/ticks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/clock.h"
#include "data/h5attr.h"
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
    uint32_t *unit; /* of each column */
};

/* What a recording consists of while it is opened. */
struct recording {
    char places[3][H5IN_NAME]; /* of ticks, units, good */
    struct h5in tick, unit, good;
    double *ticks, *units, *goods; /* goods: NULL without --good */
    size_t n_spikes, n_units;
    bool ragged;       /* units: where the spikes of each unit end, not the unit of each spike */
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

/* ---- opening ------------------------------------------------------------------------ */

/* NWB's table of units may be named as a whole: its times and their index. */
static void places_find(struct recording *r, const struct reader_options *o)
{
    bool table = h5in_is_group(o->ticks);
    snprintf(r->places[0], H5IN_NAME, "%.480s%s", o->ticks, table ? "/spike_times" : "");
    if (o->units)
        h5in_place(r->places[1], o->units, o->ticks);
    else
        snprintf(r->places[1], H5IN_NAME, "%.480s/spike_times_index", o->ticks);
    if (o->good) h5in_place(r->places[2], o->good, o->ticks);
}

/* An index of NWB: by its type, or by the name that it must have. */
static bool is_ragged(const struct recording *r)
{
    char type[32], name[H5IN_NAME + 8];
    if (h5attr_text(r->unit.dataset, "neurodata_type", type, sizeof type))
        return strcmp(type, "VectorIndex") == 0;
    snprintf(name, sizeof name, "%s_index", r->tick.name);
    return strcmp(name, r->unit.name) == 0;
}

static int recording_open(struct recording *r, const struct reader_options *o,
                          struct latent_error *err)
{
    places_find(r, o);
    int status = h5in_open(&r->tick, r->places[0], H5IN_AXES_ASK, 1, 1, err);
    if (!status) status = h5in_open(&r->unit, r->places[1], H5IN_AXES_ASK, 1, 1, err);
    if (!status && o->good) status = h5in_open(&r->good, r->places[2], H5IN_AXES_ASK, 1, 1, err);
    if (status) return status;

    r->n_spikes = r->tick.shape[0];
    r->ragged = is_ragged(r);
    if (!r->ragged && r->unit.shape[0] != r->n_spikes)
        return error_text(err, LATENT_E_SHAPE,
                          "input %s has %zu spikes, %s has %zu: expected one unit for each spike",
                          r->tick.name, r->n_spikes, r->unit.name, r->unit.shape[0]);
    status = h5in_read_all(&r->tick, &r->ticks, err);
    if (!status) status = h5in_read_all(&r->unit, &r->units, err);
    if (!status && o->good) status = h5in_read_all(&r->good, &r->goods, err);
    return status;
}

/* ---- units -------------------------------------------------------------------------- */

/* The unit of each spike, from the ends of the units' spikes. */
static int index_expand(struct recording *r, struct latent_error *err)
{
    size_t n_units = r->unit.shape[0], spike = 0;
    if (n_units > MOST_UNITS || r->units[n_units - 1] != (double)r->n_spikes)
        return error_text(err, LATENT_E_SHAPE,
                          "input %s: expected at most %d ends of units' spikes, the last one %zu, "
                          "found %zu, the last one %g",
                          r->unit.name, MOST_UNITS, r->n_spikes, n_units, r->units[n_units - 1]);
    double *units = calloc(r->n_spikes, sizeof *units);
    if (!units) return error_text(err, LATENT_E_NOMEM, "out of memory");
    for (size_t unit = 0; unit < n_units; unit++) {
        double end = r->units[unit];
        if (!(end >= (double)spike && end <= (double)r->n_spikes) || end != floor(end)) {
            free(units);
            return error_text(err, LATENT_E_VALUE,
                              "input %s: value %zu: expected an end from %zu to %zu, found %g",
                              r->unit.name, unit, spike, r->n_spikes, end);
        }
        while (spike < (size_t)end) units[spike++] = (double)unit;
    }
    free(r->units);
    r->units = units;
    r->n_units = n_units;
    return 0;
}

/* Whole numbers from 0 on, of units that --good knows. */
static int units_check(struct recording *r, struct latent_error *err)
{
    double limit = r->goods ? (double)r->good.shape[0] : MOST_UNITS;
    for (size_t i = 0; i < r->n_spikes; i++) {
        double x = r->units[i];
        if (!isfinite(x) || x < 0.0 || x >= limit || x != floor(x))
            return error_text(err, LATENT_E_VALUE,
                              "input %s: value %zu: expected a whole number from 0 to below %g, "
                              "found %g: spikes of no unit do not belong here",
                              r->unit.name, i, limit, x);
        if ((size_t)x >= r->n_units) r->n_units = (size_t)x + 1;
    }
    if (r->goods) r->n_units = r->good.shape[0];
    for (size_t i = 0; r->goods && i < r->n_units; i++)
        if (!isfinite(r->goods[i]))
            return error_text(err, LATENT_E_VALUE,
                              "input %s: value %zu: expected a number, found %g", r->good.name, i,
                              r->goods[i]);
    return 0;
}

/* Numbers the units that are used, in ascending order. Returns how many. */
static size_t columns_assign(struct recording *r, uint32_t *unit_of)
{
    uint32_t n_columns = 0;
    for (size_t unit = 0; unit < r->n_units; unit++) {
        bool used = !r->goods || r->goods[unit] != 0.0;
        if (used) unit_of[n_columns] = (uint32_t)unit;
        r->columns[unit] = used ? n_columns++ : NO_COLUMN;
    }
    return n_columns;
}

/* ---- times -------------------------------------------------------------------------- */

static int clock_take(struct recording *r, const struct reader_options *o, struct latent_error *err)
{
    int status = clock_find(&r->tick, "--clock-hz", o->clock_hz, &r->clock_hz, err);
    if (status) return status;
    if (r->clock_hz <= 0.0 && r->ragged) r->clock_hz = 1.0; /* NWB: seconds */
    if (r->clock_hz <= 0.0)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: no attribute clock_hz: give --clock-hz (1: seconds)",
                          r->tick.name);
    uint32_t width_us;
    status = reader_width(o->bin_ms, "--bin-ms", &width_us, err);
    if (status) return status;
    r->ticks_per_bin = width_us * r->clock_hz / 1e6;
    r->start_tick = o->start_s * r->clock_hz;
    return clock_check(&r->tick, r->clock_hz, "--clock-hz", r->ticks, r->n_spikes, err);
}

/* The times of each unit ascend; those of different units may lie in any order. */
static int order_check(const struct recording *r, struct latent_error *err)
{
    double *last = calloc(r->n_units, sizeof *last);
    int status = 0;
    if (!last) return error_text(err, LATENT_E_NOMEM, "out of memory");
    for (size_t i = 0; !status && i < r->n_spikes; i++) {
        size_t unit = (size_t)r->units[i];
        if (r->ticks[i] < last[unit])
            status =
                error_text(err, LATENT_E_VALUE,
                           "input %s: value %zu: the times of unit %zu fall back from %.10g to "
                           "%.10g: was the clock reset? Each part is a recording of its own, its "
                           "times in order",
                           r->tick.name, i, unit, last[unit], r->ticks[i]);
        last[unit] = r->ticks[i];
    }
    free(last);
    return status;
}

/* --seconds, or up to and with the last spike. Only whole bins. */
static int window_find(const struct recording *r, const struct reader_options *o, size_t *out_bins,
                       struct latent_error *err)
{
    double last = 0.0;
    for (size_t i = 0; i < r->n_spikes; i++)
        if (r->ticks[i] > last) last = r->ticks[i];
    double n_bins = clock_bin(last, r->start_tick, r->ticks_per_bin) + 1.0;
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

/* ---- bins --------------------------------------------------------------------------- */

static int spike_order(const void *a, const void *b)
{
    uint32_t x = ((const struct spike *)a)->bin, y = ((const struct spike *)b)->bin;
    return (x > y) - (x < y);
}

static void spikes_collect(struct ticks *t, const struct recording *r)
{
    for (size_t i = 0; i < r->n_spikes; i++) {
        double bin = clock_bin(r->ticks[i], r->start_tick, r->ticks_per_bin);
        uint32_t column = r->columns[(size_t)r->units[i]];
        if (bin < 0.0 || bin >= (double)t->shape.n_bins || column == NO_COLUMN) continue;
        t->spikes[t->n_spikes++] = (struct spike){(uint32_t)bin, column};
    }
    qsort(t->spikes, t->n_spikes, sizeof *t->spikes, spike_order);
}

static int recording_check(struct recording *r, const struct reader_options *o,
                           struct latent_error *err)
{
    int status = recording_open(r, o, err);
    if (!status && r->ragged) status = index_expand(r, err);
    if (!status) status = units_check(r, err);
    if (!status) status = clock_take(r, o, err);
    return status ? status : order_check(r, err);
}

static int ticks_build(struct ticks *t, struct recording *r, const struct reader_options *o,
                       struct latent_error *err)
{
    int status = recording_check(r, o, err);
    if (!status) status = window_find(r, o, &t->shape.n_bins, err);
    if (status) return status;

    r->columns = calloc(r->n_units, sizeof *r->columns);
    t->unit = calloc(r->n_units, sizeof *t->unit);
    t->spikes = calloc(r->n_spikes, sizeof *t->spikes);
    if (!r->columns || !t->unit || !t->spikes)
        return error_text(err, LATENT_E_NOMEM, "out of memory");
    t->shape.n_channels = columns_assign(r, t->unit);
    if (t->shape.n_channels == 0)
        return error_text(err, LATENT_E_VALUE, "input %s: no unit is good", r->good.name);
    t->shape.n_trials = 1;
    t->shape.n_all_bins = t->shape.n_bins;
    t->shape.bin_width_us = (uint32_t)lround(o->bin_ms * 1000.0);
    t->shape.start_s = o->start_s;
    t->shape.clock_hz = r->clock_hz;
    spikes_collect(t, r);
    return 0;
}

int ticks_open(struct ticks **out, const struct reader_options *options, struct reader_shape *shape,
               struct latent_error *err)
{
    struct ticks *t = calloc(1, sizeof *t);
    struct recording *recording = calloc(1, sizeof *recording);
    int status = LATENT_E_NOMEM;
    if (t && recording)
        status = ticks_build(t, recording, options, err);
    else
        error_text(err, status, "out of memory");
    if (recording) recording_close(recording);
    free(recording);
    *out = NULL;
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
    free(t->unit);
    free(t);
}

uint32_t ticks_unit(const struct ticks *t, size_t column)
{
    return t->unit[column];
}
