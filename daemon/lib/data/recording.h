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

/* The options as rows of an option table. `seconds` is left to the program. */
#define READER_OPTION_ROWS(o)                                                           \
    {"in", "FILE:/DATASET", OPTION_TEXT, &(o)->in,                                      \
     "counts [time, channels] or [trials, time, channels]"},                            \
        {"ticks", "FILE:/DATASET", OPTION_TEXT, &(o)->ticks,                            \
         "instead of --in: times of spikes in clock ticks"},                            \
        {"units", "FILE:/DATASET", OPTION_TEXT, &(o)->units, "the unit of each spike"}, \
        {"good", "FILE:/DATASET", OPTION_TEXT, &(o)->good,                              \
         "use only the units where this is not 0"},                                     \
        {"clock-hz", "HZ", OPTION_NUMBER, &(o)->clock_hz,                               \
         "clock of the ticks (default: attribute clock_hz)"},                           \
        {"start", "SECONDS", OPTION_NUMBER, &(o)->start_s,                              \
         "with --ticks: where to begin on the recording's clock"},                      \
    {                                                                                   \
        "bin-ms", "MS", OPTION_NUMBER, &(o)->bin_ms,                                    \
            "bin width (needed with --ticks; else the file's attribute)"                \
    }

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
