/* Recordings of single spikes: their times, binned on the way. */
#ifndef DATA_TICKS_H
#define DATA_TICKS_H

#include "data/recording.h"

struct ticks;

int ticks_open(struct ticks **out, const struct reader_options *options, struct reader_shape *shape,
               struct latent_error *err);
void ticks_rows(const struct ticks *ticks, size_t first, size_t n, float *counts);
/* The unit of a column. */
uint32_t ticks_unit(const struct ticks *ticks, size_t column);
void ticks_close(struct ticks *ticks);

#endif
