/* Recordings that are binned already. */
#ifndef DATA_BINNED_H
#define DATA_BINNED_H

#include "data/recording.h"

struct binned;

int binned_open(struct binned **out, const struct reader_options *options,
                struct reader_shape *shape, struct latent_error *err);
int binned_rows(struct binned *binned, size_t trial, size_t first, size_t n, float *counts,
                struct latent_error *err);
void binned_close(struct binned *binned);

#endif
