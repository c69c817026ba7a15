/* The kinds, one row each; core/layers/README.md has the same list for users. */
#include "layers/kinds.h"

#include <string.h>

#define ACTIVATION(function) \
    .n_least = 1, .n_most = 1, .load = activation_load, .step = activation_step, .apply = (function)
#define ONE_INPUT .n_least = 1, .n_most = 1
#define MANY_INPUTS .n_least = 2, .n_most = 64
#define MEMORY(kind) .carve = kind##_carve, .reset = kind##_reset

static const struct layer_kind kinds_all[] = {
    {"standardise", ONE_INPUT, .load = standardise_load, .step = standardise_step,
     .counts_spikes = true},
    {"affine", ONE_INPUT, .load = affine_load, .step = affine_step},
    {"dense", ONE_INPUT, .load = dense_load, .carve = dense_carve, .step = dense_step,
     .ahead = dense_ahead, .bind = dense_bind},
    {"session", ONE_INPUT, .load = session_load, .of_session = session_of_session,
     .step = session_step},
    {"gru", ONE_INPUT, .load = gru_load, .ahead = gru_ahead, .bind = gru_bind, MEMORY(gru),
     .step = gru_step},
    {"lstm", ONE_INPUT, .load = lstm_load, MEMORY(lstm), .step = lstm_step},
    {"rnn", ONE_INPUT, .load = rnn_load, MEMORY(rnn), .step = rnn_step},
    {"ssm", ONE_INPUT, .load = ssm_load, MEMORY(ssm), .step = ssm_step},
    {"conv1d", ONE_INPUT, .load = conv1d_load, MEMORY(conv1d), .step = conv1d_step},
    {"window", ONE_INPUT, .load = window_load, .items = window_items, MEMORY(history),
     .step = window_step},
    {"taps", ONE_INPUT, .load = taps_load, MEMORY(history), .step = taps_step},
    {"ewma", ONE_INPUT, .load = ewma_load, MEMORY(ewma), .step = ewma_step},
    {"crop", ONE_INPUT, .load = crop_load, .step = crop_step},
    {"layer_norm", ONE_INPUT, .load = layer_norm_load, .step = layer_norm_step},
    {"rms_norm", ONE_INPUT, .load = rms_norm_load, .step = rms_norm_step},
    {"l2_norm", ONE_INPUT, .load = l2_norm_load, .step = l2_norm_step},
    {"add", MANY_INPUTS, .load = equal_load, .step = add_step},
    {"multiply", MANY_INPUTS, .load = equal_load, .step = multiply_step},
    {"concat", MANY_INPUTS, .load = concat_load, .step = concat_step},
    {"glu", ONE_INPUT, .load = glu_load, .step = glu_step},
    {"prelu", ONE_INPUT, .load = prelu_load, .step = prelu_step},
    {"sqrt", ACTIVATION(sqrt_apply), .counts_spikes = true},
    {"anscombe", ACTIVATION(anscombe_apply), .counts_spikes = true},
    {"log1p", ACTIVATION(log1p_apply), .counts_spikes = true},
    {"relu", ACTIVATION(relu_apply)},
    {"leaky_relu", ACTIVATION(leaky_relu_apply), .parameter = "slope", .least = 0.0, .most = 1.0},
    {"elu", ACTIVATION(elu_apply), .parameter = "alpha", .least = 0.0, .most = 1e3},
    {"gelu", ACTIVATION(gelu_apply)},
    {"gelu_tanh", ACTIVATION(gelu_tanh_apply)},
    {"silu", ACTIVATION(silu_apply)},
    {"softsign", ACTIVATION(softsign_apply)},
    {"softplus", ACTIVATION(softplus_apply), .parameter = "beta", .least = 1e-3, .most = 1e3},
    {"tanh", ACTIVATION(tanh_apply)},
    {"sigmoid", ACTIVATION(sigmoid_apply)},
    {"hard_sigmoid", ACTIVATION(hard_sigmoid_apply), .parameter = "slope", .least = 1e-3,
     .most = 1e3},
    {"exp", ACTIVATION(exp_apply)},
    {"softmax", ACTIVATION(softmax_apply)},
    {"scale", ACTIVATION(scale_apply), .parameter = "factor", .least = -1e6, .most = 1e6},
};

const struct layer_kind *kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds_all / sizeof *kinds_all; i++)
        if (strcmp(kinds_all[i].name, name) == 0) return &kinds_all[i];
    return NULL;
}

const struct layer_kind *kind_at(size_t i)
{
    return i < sizeof kinds_all / sizeof *kinds_all ? &kinds_all[i] : NULL;
}
