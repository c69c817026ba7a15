/* A transformer encoder layer in torch's layout, pre-norm or post-norm. */
#ifndef LATENT_ENCODER_H
#define LATENT_ENCODER_H

#include <stdbool.h>

#include "layers/attention.h"

struct encoder_layer {
    bool pre_norm;
    size_t width, hidden; /* D, F */
    struct attention attention;
    struct norm norm1, norm2;
    struct linear linear1, linear2; /* [F, D], [D, F] */
};

/* Takes <prefix>.self_attn.*, .norm1.*, .norm2.*, .linear1.*, .linear2.* */
void encoder_layer_load(struct encoder_layer *l, struct weights *w, const char *prefix,
                        size_t width, size_t heads, size_t hidden, bool pre_norm);

struct encoder_scratch {
    float *normed;  /* [rows, D] */
    float *forward; /* [rows, F] */
    float *other;   /* as the sizes below say */
};

/* Floats of `other` for tokens over a cache of n_rows, and for windows of up to n rows. */
size_t encoder_step_scratch(const struct encoder_layer *l, size_t n_rows);
size_t encoder_rows_scratch(const struct encoder_layer *l, size_t n);

/* Tokens over their caches: h [n, D] is replaced; scratch is for n rows. */
void encoder_layer_step(const struct encoder_layer *l, const struct attention_token *tokens,
                        size_t n, float *h, struct encoder_scratch scratch);
/* A window h [n, D]: rows q_first..n-1 of h become those rows of y (y may be h). qkv
 * [n, 3D] is kept from call to call where the span says so. */
void encoder_layer_rows(const struct encoder_layer *l, float *y, const float *h, float *qkv,
                        struct attention_span span, struct attention_band band,
                        struct encoder_scratch scratch);

#endif
