/* Recordings: counts per bin out of HDF5 files, binned already or as spike ticks.
 *
 * Everything is checked when a recording is opened, its values too; what follows cannot
 * meet a surprise but a failing disk. */
#ifndef DATA_RECORDING_H
#define DATA_RECORDING_H

#include <stddef.h>
#include <stdint.h>

#include "latent.h"

/* Datasets are written FILE.h5:/path; NULL and 0: not given. */
struct reader_options {
    const char *in; /* counts [time, channels] or [trials, time, channels] */
    const char *ticks, *units, *good;
    double clock_hz; /* of the ticks; without it the attribute clock_hz */
    double start_s, seconds;
    double bin_ms; /* of the counts, only where no attribute says; of the ticks, always */
};

/* The options as rows of an option table, but for --seconds, which each program means in its own
 * way. */
#define READER_ROWS(o)                                                           \
    OPTION_TEXT("in", "FILE:/DATASET", &(o)->in,                                 \
                "counts [time, channels] or [trials, time, channels]"),          \
        OPTION_TEXT("ticks", "FILE:/DATASET", &(o)->ticks,                       \
                    "instead of --in: the times of spikes, in clock ticks"),     \
        OPTION_TEXT("units", "FILE:/DATASET", &(o)->units,                       \
                    "with --ticks: the unit of each spike"),                     \
        OPTION_TEXT("good", "FILE:/DATASET", &(o)->good,                         \
                    "with --ticks: use only units where this is not 0"),         \
        OPTION_NUMBER("clock-hz", "HZ", &(o)->clock_hz, 1e-3, 1e12,              \
                      "clock of the ticks (default: their attribute clock_hz)"), \
        OPTION_NUMBER("start", "SECONDS", &(o)->start_s, 0, OPTION_ANY_NUMBER,   \
                      "with --ticks: where to begin on the recording's clock"),  \
        OPTION_NUMBER("bin-ms", "MS", &(o)->bin_ms, 1e-3, 1e6,                   \
                      "width of a bin: with --ticks, or where the counts have\n" \
                      "no attribute bin_width_ms")

/* Which options go together; reader_open asks it too. 0, or negative and a text. */
int reader_check(const struct reader_options *options, struct latent_error *err);

struct reader_shape {
    int has_trials;  /* 0: [time, channels], one trial here */
    size_t n_trials; /* 1 without trials */
    size_t n_bins;   /* per trial */
    size_t n_channels;
    uint32_t bin_width_us;
};

struct reader;

int reader_open(struct reader **out, const struct reader_options *options,
                struct latent_error *err);
const struct reader_shape *reader_shape(const struct reader *reader);
/* Bins first .. first + n - 1 of a trial as counts [n][n_channels]. */
int reader_rows(struct reader *reader, size_t trial, size_t first, size_t n, float *counts,
                struct latent_error *err);
void reader_close(struct reader *reader); /* NULL is allowed */

#endif
