/* Statistics of every channel of a stream, and whether they are still those of training: a channel
 * that died, one that shouts. Limits are relative to the model file's training mean and variance;
 * without them nothing is judged. Time is counted in the bins that are added.
 *
 * Where bins have a mean and variance m, v in training (of counts at least those of 0.5 per
 * second), and now, over 30 s (exponentially weighted), M, V:
 *
 *   dead   counts: M < m / 20, for 20 s, and as long as 100 counts took in training; not judged
 *          where training had less than 0.5 per second. real: V < v / 100, for 20 s
 *   noisy  counts: M > 5 m, for 5 s. both: V > 10 v, for 30 s
 *   good   again after 60 s inside half the limits
 *
 * V of counts is about their average over 2 s: a rate that steps is no variance. A value counts as
 * at most 20 sd off (real: 10): one that is far out makes no channel noisy. A bin in which
 * more than half of the good channels are more than 4 sd off m is an artefact and changes nothing,
 * unless more than a tenth of the bins are such.
 *
 * One thread; not for the data path. */
#ifndef HEALTH_BAD_CHANNELS_H
#define HEALTH_BAD_CHANNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "latent.h"

enum bad_channels_verdict { CHANNEL_GOOD, CHANNEL_DEAD, CHANNEL_NOISY };
const char *bad_channels_verdict_name(enum bad_channels_verdict verdict);

struct bad_channels;

struct bad_channels_summary {
    enum bad_channels_verdict verdict;
    double mean, variance; /* of bins, over the last 30 s; of training before the first */
    double z;              /* (mean - training's) / training's sd; NaN: not known */
    double variance_ratio; /* to training's; NaN: not known */
    double zeros;          /* share of bins with nothing in them */
    double saturated;      /* share of bins at the model's clip or beyond */
};

/* What the channels of a model can be judged by: "rate and variance", "rate alone", "variance".
 * NULL: by nothing; why says what the file lacks. */
const char *bad_channels_basis(const struct latent_info *info, const char **why);

/* info with such a basis, read during the call only. NULL: out of memory. */
struct bad_channels *bad_channels_new(const struct latent_info *info);
void bad_channels_free(struct bad_channels *b); /* NULL is allowed */
/* Another model of as many channels and the same bins: judged by its training from now on. */
void bad_channels_train(struct bad_channels *b, const struct latent_info *info);
/* A bin that came. counts [n_channels], finite. */
void bad_channels_add(struct bad_channels *b, const float *counts);
/* One that says nothing of single channels: left out like an artefact. */
void bad_channels_leave_out(struct bad_channels *b);

uint32_t bad_channels_size(const struct bad_channels *b); /* n_channels */
enum bad_channels_verdict bad_channels_verdict(const struct bad_channels *b, uint32_t channel);
void bad_channels_read(const struct bad_channels *b, uint32_t channel,
                       struct bad_channels_summary *out);
uint64_t bad_channels_bins(const struct bad_channels *b);      /* added */
uint64_t bad_channels_artefacts(const struct bad_channels *b); /* of them, left out */

#endif
