/* Causal convolution over time in torch's layout, one bin at a time over its own short history. */
#ifndef LATENT_CONV_H
#define LATENT_CONV_H

#include "base/weights.h"
#include "kernels/kernels.h"

/* y_t = b + sum over k < n_taps of W_k x_(t - k): zeros stand for bins before the first. */
struct conv {
    size_t n_out, n_in, n_taps;
    struct panels packed; /* [n_out, n_taps * n_in], oldest bin first, as the history lies */
};

/* Takes "<name>.weight" [n_out, n_in, n_taps] (last tap = newest bin) and "<name>.bias" [n_out]. */
void conv_load(struct conv *l, struct weights *w, size_t n_out, size_t n_in, size_t n_taps,
               const char *name);
/* Append x [n_in] to a history [n_taps, n_in] of which the oldest bin is dropped. */
void conv_push(const struct conv *l, float *history, const float *x);
/* y [n_out]. index [n_taps * n_in] is scratch for a sparse history, or NULL when it is dense. */
void conv_forward(const struct conv *l, float *y, const float *history, uint32_t *index);

/* Exact form: x Phi(x). */
void gelu(float *x, size_t n);

/* Encoder of a spike filter: two convolutions with GELU, then a mean and a log-variance
 * for every latent. Letters: E1, E2 widths, S latents. */
struct conv_encoder {
    struct conv layers[2];    /* C -> E1 -> E2 */
    struct conv mean, logvar; /* E2 -> S, over the same window */
};

struct conv_encoder_state {
    float *windows[3];    /* [taps, C], [taps, E1], [taps, E2] */
    float *hidden[2];     /* [E1], [E2] */
    float *mean, *logvar; /* [S]: what is said of the newest bin */
    uint32_t *index;      /* [taps * C] */
};

/* Takes initial_stack.1, initial_stack.4, mean_conv and logvar_conv; widths and taps
 * are those of the tensors. */
void conv_encoder_load(struct conv_encoder *e, struct weights *w, size_t n_in, size_t n_latents);
/* The windows in state, the rest in work. */
void conv_encoder_carve(struct conv_encoder_state *s, const struct conv_encoder *e,
                        struct arena *state, struct arena *work);
void conv_encoder_reset(struct conv_encoder_state *s, const struct conv_encoder *e);
/* One bin x [C]; the answer is s->mean and s->logvar. */
void conv_encoder_forward(const struct conv_encoder *e, struct conv_encoder_state *s,
                          const float *x);
/* How many bins an answer depends on. */
size_t conv_encoder_bins(const struct conv_encoder *e);

#endif
