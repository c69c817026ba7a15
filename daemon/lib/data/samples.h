/* Samples of behaviour and their times. */
#ifndef DATA_SAMPLES_H
#define DATA_SAMPLES_H

#include "data/behaviour.h"

struct samples {
    char values_place[H5IN_NAME], times_place[H5IN_NAME]; /* times: empty where there are none */
    double hz, start_s; /* without a dataset of times: by rate; hz 0: of the bins themselves */
    size_t n, n_dims;
    double *values; /* [n][n_dims] */
    double *times;  /* [n], seconds, ascending */
    double *use;    /* [n], NULL: all */
    struct h5in in; /* of the values */
};

/* Where values and times are, and by what rate. */
int samples_find(struct samples *s, const struct behaviour_options *o,
                 const struct reader_options *input, struct latent_error *err);
/* Samples with times of their own: read and checked. */
int samples_read(struct samples *s, const struct behaviour_options *o,
                 const struct reader_options *input, const struct reader_shape *shape,
                 struct latent_error *err);
void samples_free(struct samples *s);

/* Lays them on the bins. */
int samples_lay(const struct samples *s, double max_gap_ms, const struct reader_shape *shape,
                struct behaviour *out, struct latent_error *err);

#endif
