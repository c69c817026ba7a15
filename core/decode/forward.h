/* What computes a bin: the architecture, then the file's readout stage, as one. */
#ifndef LATENT_FORWARD_H
#define LATENT_FORWARD_H

#include "decode/model.h"

struct forward {
    const latent_model *m;
    void *model; /* the architecture's state */
    struct readout_stage_state stage;
};

/* Carve the states for weights of m (model_bound) and a mode of m->ops->modes; once
 * over counting arenas, then for real. */
void forward_init(struct forward *f, const latent_model *m, const void *bound, int mode,
                  struct model_memory *memory);
void forward_reset(struct forward *f);
/* The state was read from a snapshot. */
void forward_loaded(struct forward *f);
/* One bin, with counts [C] or (NULL) without. out must have a place for every group of
 * the model. */
void forward_step(struct forward *f, const float *counts, struct model_out *out);
/* Offline modes: n_bins rows of counts in, n_bins rows of each group out, from a reset. */
void forward_trial(struct forward *f, const float *counts, size_t n_bins, struct model_out *out);

#endif
