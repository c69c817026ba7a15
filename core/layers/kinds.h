/* What the rows of kinds.c are made of, file by file. */
#ifndef LATENT_KINDS_H
#define LATENT_KINDS_H

#include "layers/kind.h"

#define KIND_LOAD(kind) void *kind##_load(struct kind_load *l)
#define KIND_STEP(kind) \
    void kind##_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
#define KIND_MEMORY(kind)                                                           \
    void *kind##_carve(const void *layer, struct arena *state, struct arena *work); \
    void kind##_reset(const void *layer, void *memory)

/* kind_activation.c */
KIND_LOAD(activation);
KIND_STEP(activation);
activation_fn sqrt_apply, anscombe_apply, log1p_apply, relu_apply, leaky_relu_apply, elu_apply,
    gelu_apply, gelu_tanh_apply, silu_apply, softsign_apply, softplus_apply, tanh_apply,
    sigmoid_apply, hard_sigmoid_apply, exp_apply, softmax_apply, scale_apply;

#define KIND_AHEAD(kind)                                                             \
    void kind##_ahead(const void *layer, void *memory, uint64_t i, uint64_t stride); \
    void kind##_bind(void *memory, const struct item_ring *items)

/* kind_dense.c */
KIND_LOAD(dense);
void *dense_carve(const void *layer, struct arena *state, struct arena *work);
KIND_AHEAD(dense);
KIND_LOAD(session);
KIND_STEP(session);
const void *session_of_session(const void *layer, size_t session);
KIND_STEP(dense);

/* kind_affine.c */
KIND_LOAD(standardise);
KIND_STEP(standardise);
KIND_LOAD(affine);
KIND_STEP(affine);
KIND_LOAD(prelu);
KIND_STEP(prelu);

/* kind_gru.c, kind_lstm.c, kind_rnn.c, kind_ssm.c */
KIND_LOAD(gru);
KIND_AHEAD(gru);
KIND_MEMORY(gru);
KIND_STEP(gru);
KIND_LOAD(lstm);
KIND_MEMORY(lstm);
KIND_STEP(lstm);
KIND_LOAD(rnn);
KIND_MEMORY(rnn);
KIND_STEP(rnn);
KIND_LOAD(ssm);
KIND_MEMORY(ssm);
KIND_STEP(ssm);

/* kind_conv1d.c */
KIND_LOAD(conv1d);
KIND_MEMORY(conv1d);
KIND_STEP(conv1d);

/* kind_window.c */
KIND_LOAD(window);
const struct item_ring *window_items(const void *memory);
KIND_LOAD(taps);
KIND_MEMORY(history);
KIND_STEP(window);
KIND_STEP(taps);

/* kind_ewma.c */
KIND_LOAD(ewma);
KIND_MEMORY(ewma);
KIND_STEP(ewma);

/* kind_norm.c */
KIND_LOAD(layer_norm);
KIND_STEP(layer_norm);
KIND_LOAD(rms_norm);
KIND_STEP(rms_norm);
KIND_LOAD(l2_norm);
KIND_STEP(l2_norm);

/* kind_combine.c */
KIND_LOAD(equal);
KIND_STEP(add);
KIND_STEP(multiply);
KIND_LOAD(concat);
KIND_STEP(concat);
KIND_LOAD(glu);
KIND_STEP(glu);
KIND_LOAD(crop);
KIND_STEP(crop);

#endif
