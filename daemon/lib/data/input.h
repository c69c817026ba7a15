/* What a command line says of the recording to be read: datasets, axes, kind of values. */
#ifndef DATA_INPUT_H
#define DATA_INPUT_H

#include <stdbool.h>
#include <stddef.h>

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
        OPTION_NUMBER("bin-ms", "MS", &(o)->bin_ms, 0.1, 1e4,                      \
                      "milliseconds of a bin: with --ticks, or where the\n"        \
                      "counts have no attribute bin_width_ms"),                    \
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
/* What the options say of axes, and of the kind of input (enum latent_input). */
enum h5in_axes reader_axes(const struct reader_options *options);
uint32_t reader_input(const struct reader_options *options);
/* A bin's width as latentd and model files have it: whole microseconds, 0.1 to 10000 ms. where:
 * who says it, for the text. 0, or negative and a text. */
int reader_width(double width_ms, const char *where, uint32_t *out_us, struct latent_error *err);

#endif
