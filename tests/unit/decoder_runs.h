/* Runs of the decoder over the shipped models, and every byte that they publish. */
#ifndef DECODER_RUNS_H
#define DECODER_RUNS_H

#include <stddef.h>
#include <stdint.h>

#include "latent.h"

/* Every streaming mode of every shipped model. */
struct shipped_model {
    const char *file, *mode;
};
extern const struct shipped_model shipped[];
extern const size_t n_shipped;

latent_model *model_open(const char *file);
/* Predicts; mode NULL is the model's own. */
latent_decoder *decoder_new(const latent_model *m, const char *mode);
size_t channels_of(const latent_model *m);
/* [n_bins, n_channels], the same counts for the same seed: mostly 0 and 1. Freed by the caller. */
float *counts_new(size_t n_bins, size_t n_channels, unsigned seed);
/* A step that must succeed. */
void step(latent_decoder *d, const float *counts, size_t n_channels, uint32_t marks,
          struct latent_frame *frame);

/* Every value and flag of the frames of a run, as bytes; freed by the caller. */
struct run {
    size_t n;
    unsigned char *bytes;
};
void run_append(struct run *r, const void *bytes, size_t n);
void run_add(struct run *r, const struct latent_frame *f, uint32_t ignored_flags);
/* Rows first to end of counts. */
struct run run_bins(latent_decoder *d, const float *counts, size_t n_channels, size_t first,
                    size_t end);
/* Both equal; frees both. */
void run_assert_equal(struct run *a, struct run *b);

#endif
