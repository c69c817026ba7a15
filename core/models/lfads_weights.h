/* The weights of an LFADS model, bound by name. */
#ifndef LATENT_LFADS_WEIGHTS_H
#define LATENT_LFADS_WEIGHTS_H

#include "layers/clipped_encoder.h"
#include "layers/link.h"
#include "models/model.h"

enum lfads_latents { LATENTS_FACTORS, LATENTS_GENERATOR, LATENTS_CONTROLLER, LATENTS_INPUTS };

struct lfads {
    size_t n_channels, n_spikes, n_external, n_input; /* C = N + X; N' after read-in */
    size_t window_bins, trial_bins, prefix_bins, lag; /* W, -, P, - */
    size_t n_initial, n_generator, n_factors;         /* D0, G, K */
    size_t n_controller, n_inputs;                    /* S, U; 0: no controller */
    size_t n_out;                                     /* rates, or means */
    bool poisson, has_readin;
    enum rate_link link; /* poisson */
    int latents;
    float clip;
    const float *channel_mean;     /* [C] or NULL */
    bool is_normalised;            /* counts that it expects are no input */
    const float *constant;         /* [D0], where no encoder gives it */
    struct linear readin, start;   /* N -> N', D0 -> G */
    struct clipped_encoder ic, ci; /* N' -> I, N' -> E */
    struct panels initial;         /* 2 I -> D0 */
    struct clipped_gru controller, generator;
    struct panels from_encoder;     /* E or 2 E -> 3 S */
    struct panels from_factors;     /* K -> 3 S */
    struct panels inputs;           /* S -> U */
    struct panels drive;            /* U + X -> 3 G */
    struct panels factors, readout; /* G -> K, K -> n_out */
    const float *controller_start;  /* [S] */
};

/* The load of struct model_ops. */
void *lfads_load(struct weights *w, struct fields *c, struct model_dims *dims);
/* Can it go on bin by bin after its prefix? */
bool lfads_runs_on(const struct lfads *m);

#endif
