/* The bins of a recording as a file for training. */
#ifndef DECODE_BINS_H
#define DECODE_BINS_H

#include "data/recording.h"

/* Writes what the options name as an .npz (README.md lists its arrays) and says so in a line on
 * standard output. The file appears at `out` whole or not at all. */
int bins_write(const struct reader_options *options, const char *out, struct latent_error *err);

#endif
