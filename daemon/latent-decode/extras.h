/* What else a recording's file may hold for training: a split of its trials, and true rates. */
#ifndef DECODE_EXTRAS_H
#define DECODE_EXTRAS_H

#include "data/npzout.h"
#include "latent-decode/bins.h"

enum { EXTRA_TRAIN, EXTRA_VALID, EXTRA_TEST, EXTRA_CONDITIONS, N_EXTRAS };

struct extras {
    int64_t *whole[N_EXTRAS]; /* NULL: not given */
    size_t n[N_EXTRAS];
    double *rates; /* Hz */
    int rates_rank;
    size_t rates_shape[3];
};

/* Indices are whole numbers of trials that there are, each in one part of the split; conditions
 * are whole numbers of rows that the rates have. */
int extras_read(struct extras *e, const struct bins_options *options,
                const struct reader_shape *shape, struct latent_error *err);
/* split_train, split_valid, split_test, conditions, rates: those that were given. */
void extras_put(const struct extras *e, struct npzout *out);
void extras_free(struct extras *e);

#endif
