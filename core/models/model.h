/* What an architecture is: one const struct model_ops, one row in registry.c. wiener.c is the
 * shortest: a newcomer starts from a copy of it. */
#ifndef LATENT_MODELS_MODEL_H
#define LATENT_MODELS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fields.h"
#include "base/weights.h"
#include "latent.h"

/* Sizes that load learns from hyper-parameters and tensors; the file's "outputs" must agree. */
struct model_dims {
    size_t n_channels;                    /* C, from the file */
    size_t n_latents, n_rates, n_readout; /* L, N, O; 0: the model has none */
    size_t n_logits;
    size_t trial_bins;         /* longest trial, 0: no limit */
    double bin_s;              /* bin width, seconds */
    const float *channel_mean; /* [C] counts per bin in training, or NULL; 0 where the
                                             input is normalised */
    bool is_normalised;        /* the model gets no counts, and its rates are no input */
    /* What the outputs of a bin describe and when they come; every_bins 0: each bin. */
    uint64_t delay_bins, every_bins, first_bin;
    const char *const *sessions; /* [n_sessions], in the memory of the weights or the file's text */
    size_t n_sessions, session;  /* session: the one of the known answer */
    bool answers_rates; /* known answers hold expected counts themselves, which may be negative */
};

/* state: what a snapshot holds (pointer-free numbers carried from bin to bin).
 * work: everything else (the state struct with its pointers, scratch). */
struct model_memory {
    struct arena *state, *work;
    size_t session; /* whose weights: one of model_dims.n_sessions; 0 where there are none */
};

/* Where a step writes. Rates are expected counts per bin. flags: WARMUP, OUTSIDE, INPUT_CLIPPED,
 * BETWEEN. */
struct model_out {
    float *latents; /* [L] */
    float *rates;   /* [N] */
    float *readout; /* [O] */
    float *logits;
    uint32_t flags;
    bool absent;   /* of this bin there is nothing but a readout: BETWEEN, or none at all: WARMUP */
    bool infinite; /* a value inside is not finite, whether or not an output shows it */
};

struct model_ops {
    const char *name;
    const struct latent_mode *modes; /* ended by a NULL name */
    bool narrow; /* load packs its matrices in w->precision: offers bf16 and int8 */
    /* Bind weights, check hyper-parameters, fill dims. Returns the bound weights (in
     * w->arena), or NULL: in the counting run, or with w->status or hyper->status set. */
    void *(*load)(struct weights *w, struct fields *hyper, struct model_dims *dims);
    /* Carve a state; runs once over counting arenas (then returns NULL) and once for
     * real. mode: index into modes. The memory is zeroed; reset is called after. */
    void *(*init)(const void *model, int mode, struct model_memory *mem);
    void (*reset)(void *state);
    /* Optional: the state was read from a snapshot; what follows from it in work is made anew. */
    void (*loaded)(void *state);
    /* One bin: counts [C] in, *out filled. Neither may allocate, lock, wait or call the system. */
    void (*step)(void *state, const float *counts, struct model_out *out);
    void (*predict)(void *state, struct model_out *out); /* one bin without input */
    /* Offline modes only: T rows of counts in, T rows of each output. */
    void (*trial)(void *state, const float *counts, size_t n_bins, struct model_out *out);
    /* Optional: NULL, or the reason why this file cannot run in a mode, or cannot predict. */
    const char *(*mode_check)(const void *model, int mode);
    const char *(*predict_check)(const void *model);
    /* Optional: NULL, or why the channels of this file must be counts, not normalised. */
    const char *(*counts_check)(const void *model);
};

/* The end of "cannot predict": what it would predict from. */
#define MODEL_LACKS_MEAN                                                                  \
    "the training mean, which the file does not hold: export it again with --statistics " \
    "FILE.h5:/counts"

const struct model_ops *model_find(const char *name); /* NULL when unknown */
const char *model_names(void);                        /* "dlds, gru, ..., wiener" */

#endif
