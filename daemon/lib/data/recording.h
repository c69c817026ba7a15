/* Recordings: counts per bin out of HDF5 files, binned already or as spike times.
 *
 * One set of rules for everything that reads (README.md lists them). All is checked when a
 * recording is opened, its values too; what follows cannot meet a surprise but a failing disk. */
#ifndef DATA_RECORDING_H
#define DATA_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/input.h"
#include "latent.h"

struct reader_shape {
    int has_trials;  /* 0: [time, channels], one trial here */
    size_t n_trials; /* 1 without trials */
    size_t n_bins;   /* per trial */
    size_t n_channels;
    uint32_t bin_width_us;
    double start_s;               /* where bin 0 begins on the recording's clock; 0 with trials */
    double clock_hz;              /* of the ticks, as found; 0: binned already */
    size_t first_bin, n_all_bins; /* of the dataset, where it is binned already */
    uint32_t input;               /* enum latent_input */
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

#endif
