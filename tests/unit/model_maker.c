/* Small model files whose known answers were worked out by hand, and ways to damage
 * them. */
#include "model_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ABOUT                                      \
    "\"licence\":\"CC0-1.0\",\"source\":\"a unit " \
    "test\",\"checkpoint_sha256\":\"" HEX_64 "\""
#define TENSOR_1(name, type, n, array)          \
    {                                           \
        name, type, 1, {n}, array, sizeof array \
    }
#define TENSOR_2(name, type, n, m, array)          \
    {                                              \
        name, type, 2, {n, m}, array, sizeof array \
    }

static const float zeros[32];

/* ---- kalman: s = M1 s + M2 u + m0, readout = W s + b ---- */

static const char kalman_config[] =
    "{\"format\":1,\"arch\":\"kalman\",\"n_channels\":3,\"bin_width_us\":20000,"
    "\"modes\":[\"causal\"],\"precisions\":[\"f32\"],\"hyper\":{\"form\":\"given\"},"
    "\"outputs\":{\"latents\":2,\"rates\":0,\"readout\":["
    "{\"name\":\"vx\",\"unit\":\"mm/"
    "s\",\"neutral\":0,\"min\":-500,\"max\":500,\"slew\":null},"
    "{\"name\":\"grip\",\"unit\":\"N\",\"neutral\":0.5,\"min\":null,\"max\":null,"
    "\"slew\":25.5}]}," ABOUT ",\"channels\":{\"names\":[\"a\",\"b\",\"c\"],\"mean\":["
    "1,1.5,0.75],\"variance\":[1,2,0],\"longest_silence\":3,\"longest_repeat\":5}}";

static const double m1[4] = {0.5, 0.0, 0.25, 0.5};
static const double m2[6] = {1.0, 0.0, 0.0, 0.0, 2.0, -1.0};
static const double m0[2] = {0.5, -1.0};
static const double readout_weight[4] = {2.0, 0.0, 0.0, -1.0};
static const double readout_bias[2] = {1.0, 0.0};
static const float kalman_input[12] = {1, 0, 2, 0, 0, 0, 3, 1, 0, 0, 2, 1};
static const float kalman_latents[8] = {1.5f,   -3.0f, 1.25f,   -2.125f,
                                        4.125f, 0.25f, 2.5625f, 3.15625f};
static const float kalman_readout[8] = {4.0f, 3.0f, 3.5f, 2.125f, 9.25f, -0.25f, 6.125f, -3.15625f};

struct model_parts maker_kalman(void)
{
    return (struct model_parts){
        .config = kalman_config,
        .n_tensors = 8,
        .tensors = {TENSOR_2("M1", "F64", 2, 2, m1), TENSOR_2("M2", "F64", 2, 3, m2),
                    TENSOR_1("m0", "F64", 2, m0),
                    TENSOR_2("readout.weight", "F64", 2, 2, readout_weight),
                    TENSOR_1("readout.bias", "F64", 2, readout_bias),
                    TENSOR_2("selftest.input", "F32", 4, 3, kalman_input),
                    TENSOR_2("selftest.causal.latents", "F32", 4, 2, kalman_latents),
                    TENSOR_2("selftest.causal.readout", "F32", 4, 2, kalman_readout)},
    };
}

static const double other_m1[4] = {0.5, 0.0, -0.25, 0.5};
static const double other_m0[2] = {-0.5, 1.0};
static const double other_readout_weight[4] = {-2.0, 0.0, 0.0, -1.0};
static const float other_latents[8] = {0.5f,   -1.0f, -0.25f,  0.375f,
                                       2.375f, 3.25f, 0.6875f, 5.03125f};
static const float other_readout[8] = {0.0f,   1.0f,   1.5f,    -0.375f,
                                       -3.75f, -3.25f, -0.375f, -5.03125f};

struct model_parts maker_kalman_other(void)
{
    return (struct model_parts){
        .config = kalman_config,
        .n_tensors = 8,
        .tensors = {TENSOR_2("M1", "F64", 2, 2, other_m1), TENSOR_2("M2", "F64", 2, 3, m2),
                    TENSOR_1("m0", "F64", 2, other_m0),
                    TENSOR_2("readout.weight", "F64", 2, 2, other_readout_weight),
                    TENSOR_1("readout.bias", "F64", 2, readout_bias),
                    TENSOR_2("selftest.input", "F32", 4, 3, kalman_input),
                    TENSOR_2("selftest.causal.latents", "F32", 4, 2, other_latents),
                    TENSOR_2("selftest.causal.readout", "F32", 4, 2, other_readout)},
    };
}

/* ---- kalman of one state, which is the first of the other's ---- */

static const char kalman_1_config[] =
    "{\"format\":1,\"arch\":\"kalman\",\"n_channels\":3,\"bin_width_us\":20000,"
    "\"modes\":[\"causal\"],\"precisions\":[\"f32\"],\"hyper\":{\"form\":\"given\"},"
    "\"outputs\":{\"latents\":1,\"rates\":0,\"readout\":["
    "{\"name\":\"vx\",\"unit\":\"mm/"
    "s\",\"neutral\":0,\"min\":-500,\"max\":500,\"slew\":null},"
    "{\"name\":\"grip\",\"unit\":\"N\",\"neutral\":0.5,\"min\":null,\"max\":null,"
    "\"slew\":25.5}]}," ABOUT ",\"channels\":{\"names\":[\"a\",\"b\",\"c\"],\"mean\":["
    "1,1.5,0.75],\"variance\":[1,2,0],\"longest_silence\":3,\"longest_repeat\":5}}";

static const double m1_1[1] = {0.5};
static const double m2_1[3] = {1.0, 0.0, 0.0};
static const double m0_1[1] = {0.5};
static const double readout_weight_1[2] = {-2.0, 1.0};
static const double readout_bias_1[2] = {1.0, 0.0};
static const float kalman_1_latents[4] = {1.5f, 1.25f, 4.125f, 2.5625f};
static const float kalman_1_readout[8] = {-2.0f,  1.5f,   -1.5f,   1.25f,
                                          -7.25f, 4.125f, -4.125f, 2.5625f};

struct model_parts maker_kalman_1(void)
{
    return (struct model_parts){
        .config = kalman_1_config,
        .n_tensors = 8,
        .tensors = {TENSOR_2("M1", "F64", 1, 1, m1_1), TENSOR_2("M2", "F64", 1, 3, m2_1),
                    TENSOR_1("m0", "F64", 1, m0_1),
                    TENSOR_2("readout.weight", "F64", 2, 1, readout_weight_1),
                    TENSOR_1("readout.bias", "F64", 2, readout_bias_1),
                    TENSOR_2("selftest.input", "F32", 4, 3, kalman_input),
                    TENSOR_2("selftest.causal.latents", "F32", 4, 1, kalman_1_latents),
                    TENSOR_2("selftest.causal.readout", "F32", 4, 2, kalman_1_readout)},
    };
}

/* ---- gru: n = tanh(0), h stays 0 ---- */

static const char gru_config[] =
    "{\"format\":1,\"arch\":\"gru\",\"n_channels\":3,\"bin_width_us\":10000,"
    "\"modes\":[\"causal\"],\"precisions\":[\"f32\"],"
    "\"hyper\":{\"layers\":1,\"hidden\":2,\"lograte\":true},"
    "\"outputs\":{\"latents\":2,\"rates\":3,\"readout\":[]}," ABOUT "}";

static const float rate_bias[3] = {-1.0f, 0.5f, -3.0f};
static const float gru_lograte[6] = {-1.0f, 0.5f, -3.0f, -1.0f, 0.5f, -3.0f};
static const float gru_input[6] = {0, 1, 2, 3, 4, 5};

struct model_parts maker_kalman_normalised(void)
{
    static char config[2048];
    struct model_parts parts = maker_kalman();

    snprintf(config, sizeof config,
             "{\"normalise\":{\"kind\":\"window-trials\",\"mean\":[0,0,0],\"sd\":[1,1,1],"
             "\"eps\":0},%s",
             parts.config + 1);
    parts.config = config;
    return parts;
}

struct model_parts maker_gru(void)
{
    return (struct model_parts){
        .config = gru_config,
        .n_tensors = 9,
        .tensors = {{"gru.weight_ih_l0", "F32", 2, {6, 3}, zeros, 72},
                    {"gru.weight_hh_l0", "F32", 2, {6, 2}, zeros, 48},
                    {"gru.bias_ih_l0", "F32", 1, {6}, zeros, 24},
                    {"gru.bias_hh_l0", "F32", 1, {6}, zeros, 24},
                    {"rate.weight", "F32", 2, {3, 2}, zeros, 24},
                    TENSOR_1("rate.bias", "F32", 3, rate_bias),
                    TENSOR_2("selftest.input", "F32", 2, 3, gru_input),
                    {"selftest.causal.latents", "F32", 2, {2, 2}, zeros, 16},
                    TENSOR_2("selftest.causal.lograte", "F32", 2, 3, gru_lograte)},
    };
}

/* ---- gru with a stage: n = 1, 0 or -1, h = (n + h) / 2; tau = 20 ms / ln 2 ---- */

static const char stage_config[] =
    "{\"format\":1,\"arch\":\"gru\",\"n_channels\":3,\"bin_width_us\":20000,"
    "\"modes\":[\"causal\"],\"precisions\":[\"f32\"],"
    "\"hyper\":{\"layers\":1,\"hidden\":2,\"lograte\":true},"
    "\"stage\":{\"input\":\"latents\",\"tau_ms\":28.853900817779268,\"lags\":2},"
    "\"outputs\":{\"latents\":2,\"rates\":0,\"readout\":["
    "{\"name\":\"vx\",\"unit\":\"mm/"
    "s\",\"neutral\":0,\"min\":-500,\"max\":500,\"slew\":null},"
    "{\"name\":\"grip\",\"unit\":\"N\",\"neutral\":0.5,\"min\":null,\"max\":null,"
    "\"slew\":25.5}]}," ABOUT ",\"channels\":{\"names\":[\"a\",\"b\",\"c\"],\"mean\":["
    "1,1.5,0.75],\"variance\":[1,2,0]}}";

/* Rows r, z, n of both units; tanh(20) is 1 in float. */
static const float stage_input_weight[18] = {0, 0, 0, 0,  0,   0, 0, 0,   0,
                                             0, 0, 0, 40, -40, 0, 0, -40, 40};
static const float stage_input[12] = {1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 1};
static const float stage_latents[8] = {0.5f, 0.0f, -0.25f, -0.5f, -0.125f, 0.25f, -0.0625f, 0.125f};
static const double stage_mean[2] = {0.5, -0.5};
static const double stage_scale[2] = {4.0, 2.0};
static const double stage_weight[8] = {1.0, 0.0, 0.0, 2.0, -1.0, 1.0, 0.5, 0.0};
static const double stage_bias[2] = {10.0, -20.0};
/* smoothed: 1/2 0 -1/14 -1/15 and 0 -1/3 0 1/15 */
static const float stage_readout[8] = {10.0f,          -19.0f,         10.0f,
                                       -53.0f / 3.0f,  176.0f / 21.0f, -124.0f / 7.0f,
                                       146.0f / 15.0f, -621.0f / 35.0f};

struct model_parts maker_stage(void)
{
    return (struct model_parts){
        .config = stage_config,
        .n_tensors = 11,
        .tensors = {TENSOR_2("gru.weight_ih_l0", "F32", 6, 3, stage_input_weight),
                    {"gru.weight_hh_l0", "F32", 2, {6, 2}, zeros, 48},
                    {"gru.bias_ih_l0", "F32", 1, {6}, zeros, 24},
                    {"gru.bias_hh_l0", "F32", 1, {6}, zeros, 24},
                    TENSOR_1("stage.mean", "F64", 2, stage_mean),
                    TENSOR_1("stage.scale", "F64", 2, stage_scale),
                    {"stage.weight", "F64", 3, {2, 2, 2}, stage_weight, 64},
                    TENSOR_1("stage.bias", "F64", 2, stage_bias),
                    TENSOR_2("selftest.input", "F32", 4, 3, stage_input),
                    TENSOR_2("selftest.causal.latents", "F32", 4, 2, stage_latents),
                    TENSOR_2("selftest.causal.readout", "F32", 4, 2, stage_readout)},
    };
}

/* ---- ndt: the final norm's weight is 0, so its bias is what comes out ---- */

static const char ndt_config[] =
    "{\"format\":1,\"arch\":\"ndt\",\"n_channels\":2,\"bin_width_us\":5000,"
    "\"modes\":[\"C\",\"trial\",\"A\"],\"precisions\":[\"f32\"],"
    "\"hyper\":{\"layers\":1,\"heads\":1,\"width\":2,\"hidden\":3,\"embed\":"
    "\"identity\","
    "\"embed_dim\":0,\"max_count\":9,\"pre_norm\":true,\"final_norm\":\"layer\","
    "\"position\":\"learnt\",\"position_offset\":true,\"trial_bins\":3,\"window_bins\":"
    "2,\"context_forward\":0,\"context_backward\":2,\"head_layers\":1,\"lograte\":true},"
    "\"outputs\":{\"latents\":2,\"rates\":2,\"readout\":[]}," ABOUT "}";

static const float norm_bias[2] = {0.25f, -4.0f};
static const float decoder_bias[2] = {-2.0f, 1.0f};
static const float ndt_latents[8] = {0.25f, -4.0f, 0.25f, -4.0f, 0.25f, -4.0f, 0.25f, -4.0f};
static const float ndt_lograte[8] = {-2.0f, 1.0f, -2.0f, 1.0f, -2.0f, 1.0f, -2.0f, 1.0f};
static const float ndt_input[8] = {0, 1, 2, 3, 4, 5, 6, 7};

#define LAYER "transformer_encoder.layers.0."

struct model_parts maker_ndt(void)
{
    return (struct model_parts){
        .config = ndt_config,
        .n_tensors = 24,
        .tensors = {{"pos_encoder.pos_embedding.weight", "F32", 2, {3, 2}, zeros, 24},
                    {LAYER "self_attn.in_proj_weight", "F32", 2, {6, 2}, zeros, 48},
                    {LAYER "self_attn.in_proj_bias", "F32", 1, {6}, zeros, 24},
                    {LAYER "self_attn.out_proj.weight", "F32", 2, {2, 2}, zeros, 16},
                    {LAYER "self_attn.out_proj.bias", "F32", 1, {2}, zeros, 8},
                    {LAYER "linear1.weight", "F32", 2, {3, 2}, zeros, 24},
                    {LAYER "linear1.bias", "F32", 1, {3}, zeros, 12},
                    {LAYER "linear2.weight", "F32", 2, {2, 3}, zeros, 24},
                    {LAYER "linear2.bias", "F32", 1, {2}, zeros, 8},
                    {LAYER "norm1.weight", "F32", 1, {2}, zeros, 8},
                    {LAYER "norm1.bias", "F32", 1, {2}, zeros, 8},
                    {LAYER "norm2.weight", "F32", 1, {2}, zeros, 8},
                    {LAYER "norm2.bias", "F32", 1, {2}, zeros, 8},
                    {"transformer_encoder.norm.weight", "F32", 1, {2}, zeros, 8},
                    TENSOR_1("transformer_encoder.norm.bias", "F32", 2, norm_bias),
                    {"decoder.0.weight", "F32", 2, {2, 2}, zeros, 16},
                    TENSOR_1("decoder.0.bias", "F32", 2, decoder_bias),
                    TENSOR_2("selftest.input", "F32", 4, 2, ndt_input),
                    {"selftest.A.latents", "F32", 2, {3, 2}, ndt_latents, 24},
                    {"selftest.A.lograte", "F32", 2, {3, 2}, ndt_lograte, 24},
                    {"selftest.C.latents", "F32", 2, {4, 2}, ndt_latents, 32},
                    {"selftest.C.lograte", "F32", 2, {4, 2}, ndt_lograte, 32},
                    {"selftest.trial.latents", "F32", 2, {3, 2}, ndt_latents, 24},
                    {"selftest.trial.lograte", "F32", 2, {3, 2}, ndt_lograte, 24}},
    };
}

/* ---- putting together, taking apart ---- */

struct file_tensor *maker_find(struct model_parts *parts, const char *name)
{
    for (size_t i = 0; i < parts->n_tensors; i++)
        if (strcmp(parts->tensors[i].name, name) == 0) return &parts->tensors[i];
    fail_msg("no tensor \"%s\"", name);
    return NULL;
}

void maker_remove(struct model_parts *parts, const char *name)
{
    *maker_find(parts, name) = parts->tensors[parts->n_tensors - 1];
    parts->n_tensors--;
}

void maker_add(struct model_parts *parts, struct file_tensor tensor)
{
    assert_true(parts->n_tensors < MAKER_MAX_TENSORS);
    parts->tensors[parts->n_tensors++] = tensor;
}

struct file_bytes maker_file(const struct model_parts *parts)
{
    return tensor_file_make(parts->config, parts->tensors, parts->n_tensors);
}

unsigned char *maker_data(struct file_bytes file, const char *name, size_t *n_bytes)
{
    struct safetensors st;
    assert_int_equal(safetensors_parse(&st, file.bytes, file.n, NULL), 0);
    const struct tensor *t = safetensors_find(&st, name);
    assert_non_null(t);
    size_t offset = (size_t)((const unsigned char *)t->data - st.bytes);
    if (n_bytes) *n_bytes = t->n_bytes;
    safetensors_close(&st);
    return file.bytes + offset;
}

void check_accepted(struct file_bytes file)
{
    latent_model *m;
    struct latent_error err = {0};
    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("refused: %s", err.text);
    latent_model_close(m);
    free(file.bytes);
}

void check_refused(struct file_bytes file, int status, const char *const *words)
{
    latent_model *m;
    struct latent_error err = {0};
    int found = model_open_bytes(&m, file.bytes, file.n, &err);
    if (found != status || err.status != status)
        fail_msg("expected status %d with \"%s\", found %d: %s", status, words[0], found, err.text);
    assert_null(m);
    assert_text_has(err.text, words);
    free(file.bytes);
}

void check_parts_refused(const struct model_parts *parts, int status, const char *const *words)
{
    check_refused(maker_file(parts), status, words);
}

void check_config_refused(const struct model_parts *parts, const char *from, const char *to,
                          int status, const char *const *words)
{
    struct model_parts changed = *parts;
    char *config = text_replace(parts->config, from, to);
    changed.config = config;
    check_parts_refused(&changed, status, words);
    free(config);
}
