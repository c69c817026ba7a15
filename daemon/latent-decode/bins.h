/* The bins of a recording as a file for training. */
#ifndef DECODE_BINS_H
#define DECODE_BINS_H

#include "data/behaviour.h"
#include "data/recording.h"

struct bins_options {
    struct reader_options input;
    struct behaviour_options behaviour;
    const char *split; /* a group of indices of trials: train, valid, test */
    const char *rates, *conditions;
    const char *out;
};

/* Writes what the options name as an .npz (README.md lists its arrays) and says so in a line on
 * standard output. The file appears whole or not at all. */
int bins_write(const struct bins_options *options, struct latent_error *err);

#endif
