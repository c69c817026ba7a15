/* Behaviour of a recording, laid on its bins: what a decoder of it is fitted to.
 *
 * Row k holds the behaviour at the end of bin k. Values are interpolated linearly between two
 * samples that are no further apart than a limit; never beyond the first or the last one. */
#ifndef DATA_BEHAVIOUR_H
#define DATA_BEHAVIOUR_H

#include "data/recording.h"

struct behaviour_options {
    const char *values; /* [time, dims] of the bins or of samples, or a TimeSeries of NWB */
    const char *times;  /* of the samples, in ticks of clock_hz */
    double clock_hz;    /* 0: what the file says, or the clock of the spikes */
    double hz, start_s; /* instead of times: samples a second, from start_s on */
    double max_gap_ms;  /* 0: five times the median distance, at least a bin */
    const char *use;    /* of each bin, or of each sample: 0 = leave it out */
};

#define BEHAVIOUR_ROWS(o)                                                                \
    OPTION_TEXT("behaviour", "FILE:/DATASET", &(o)->values,                              \
                "with --bins-only: [time, dims] of the bins or of\n"                     \
                "samples; a TimeSeries of NWB"),                                         \
        OPTION_TEXT("behaviour-times", "FILE:/DATASET", &(o)->times,                     \
                    "times of its samples, in ticks"),                                   \
        OPTION_NUMBER("behaviour-clock-hz", "HZ", &(o)->clock_hz, 1e-3, 1e12,            \
                      "clock of those, 1 for seconds\n"                                  \
                      "(default: the file's, then that of the spikes)"),                 \
        OPTION_NUMBER("behaviour-hz", "HZ", &(o)->hz, 1e-6, 1e9,                         \
                      "instead of times: samples a second"),                             \
        OPTION_NUMBER("behaviour-start", "SECONDS", &(o)->start_s, 0, OPTION_ANY_NUMBER, \
                      "with --behaviour-hz: time of the first (default: 0)"),            \
        OPTION_NUMBER("max-gap", "MS", &(o)->max_gap_ms, 1e-3, OPTION_ANY_NUMBER,        \
                      "between samples further apart no bin is used\n"                   \
                      "(default: 5 times their median distance)"),                       \
        OPTION_TEXT("use", "FILE:/DATASET", &(o)->use,                                   \
                    "of each bin, or of each sample: 0 = neither fit nor\nscore it")

/* Rows are bins, trial by trial. */
struct behaviour {
    size_t n_dims;
    double *values; /* [rows][n_dims], NaN where there is none; NULL without --behaviour */
    uint8_t *use;   /* [rows]: 1 = fit and score it; 0 where there is none */
    size_t n_outside, n_in_gaps; /* rows left out because of the samples' times */
    double max_gap_s;
};

int behaviour_read(struct behaviour *out, const struct behaviour_options *options,
                   const struct reader_options *input, const struct reader_shape *shape,
                   struct latent_error *err);
void behaviour_free(struct behaviour *b);

#endif
