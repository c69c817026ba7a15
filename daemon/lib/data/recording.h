/* Recordings: counts per bin out of HDF5 files, binned already or as spike times.
 *
 * One set of rules for everything that reads (README.md lists them). All is checked when a
 * recording is opened, its values too; what follows cannot meet a surprise but a failing disk. */
#ifndef DATA_RECORDING_H
#define DATA_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/h5in.h"
#include "latent.h"

/* Datasets are written FILE.h5:/path, or /path where another option names the file. NULL and 0:
 * not given. */
struct reader_options {
    const char *in; /* counts [time, channels] or [trials, time, channels] */
    const char *ticks, *units, *good;
    double clock_hz; /* of the ticks, 1: seconds; without it the attribute clock_hz */
    double start_s, seconds;
    double bin_ms;     /* of the counts, only where no attribute says; of the ticks, always */
    const char *input; /* "counts" or "real"; NULL: counts */
    bool transpose, as_stored; /* axes of arrays: in reverse order; as they lie */
};

/* The options as rows of an option table, but for --seconds, which each program means in its own
 * way. */
#define READER_ROWS(o)                                                             \
    OPTION_TEXT("in", "FILE:/DATASET", &(o)->in,                                   \
                "counts [time, channels] or [trials, time, channels]"),            \
        OPTION_TEXT("ticks", "FILE:/DATASET", &(o)->ticks,                         \
                    "instead of --in: the times of spikes, in clock ticks;\n"      \
                    "or the group of NWB's units"),                                \
        OPTION_TEXT("units", "FILE:/DATASET", &(o)->units,                         \
                    "with --ticks: the unit of each spike, or NWB's\n"             \
                    "spike_times_index"),                                          \
        OPTION_TEXT("good", "FILE:/DATASET", &(o)->good,                           \
                    "with --ticks: use only units where this is not 0"),           \
        OPTION_NUMBER("clock-hz", "HZ", &(o)->clock_hz, 1e-3, 1e12,                \
                      "clock of the ticks, 1 for seconds\n"                        \
                      "(default: their attribute clock_hz)"),                      \
        OPTION_NUMBER("start", "SECONDS", &(o)->start_s, 0, OPTION_ANY_NUMBER,     \
                      "without trials: where to begin on the recording's\nclock"), \
        OPTION_NUMBER("bin-ms", "MS", &(o)->bin_ms, 1e-3, 1e6,                     \
                      "width of a bin: with --ticks, or where the counts have\n"   \
                      "no attribute bin_width_ms"),                                \
        OPTION_TEXT("input", "KIND", &(o)->input,                                  \
                    "counts, or real: any finite value (default: counts)"),        \
        OPTION_SWITCH("transpose", &(o)->transpose,                                \
                      "the axes of arrays lie in reverse order, as MATLAB\n"       \
                      "saves them"),                                               \
        OPTION_SWITCH("as-stored", &(o)->as_stored,                                \
                      "the axes of MATLAB's arrays were turned before they\n"      \
                      "were saved")

/* Which options go together; reader_open asks it too. 0, or negative and a text. */
int reader_check(const struct reader_options *options, struct latent_error *err);

struct reader_shape {
    int has_trials;  /* 0: [time, channels], one trial here */
    size_t n_trials; /* 1 without trials */
    size_t n_bins;   /* per trial */
    size_t n_channels;
    uint32_t bin_width_us;
    double start_s;               /* where bin 0 begins on the recording's clock; 0 with trials */
    double clock_hz;              /* of the ticks, as found; 0: binned already */
    size_t first_bin, n_all_bins; /* of the dataset, where it is binned already */
    bool real;                    /* any finite values, not counts */
};

struct reader;

int reader_open(struct reader **out, const struct reader_options *options,
                struct latent_error *err);
const struct reader_shape *reader_shape(const struct reader *reader);
/* The unit, or the place in the file, of each column [n_channels]. */
const uint32_t *reader_channels(const struct reader *reader);
/* Bins first .. first + n - 1 of a trial as counts [n][n_channels]. */
int reader_rows(struct reader *reader, size_t trial, size_t first, size_t n, float *counts,
                struct latent_error *err);
void reader_close(struct reader *reader); /* NULL is allowed */

/* What the options say of axes and of the kind of input. */
enum h5in_axes reader_axes(const struct reader_options *options);
/* The first of n values that is none of this kind, or n. Counts: whole numbers from 0 on, below
 * 16777216, which float32 still tells apart. */
size_t reader_find_bad(bool real, const float *values, size_t n);

#endif
