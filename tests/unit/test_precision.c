/* Precisions of a model file: rounded at load or stored so, listed, chosen, refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decode/model_file.h"
#include "kernels/panels.h"
#include "model_maker.h"
#include "tensor_file.h"

enum { N_STEPS = 20 };

/* No multiples of powers of two: rounding changes them. */
static const float input_weight[18] = {0.0101f, -0.0203f, 0.0307f,  0.0011f,  0.0013f, -0.0417f,
                                       0.0019f, 0.0223f,  -0.0029f, -0.0031f, 0.0337f, 0.0041f,
                                       0.0043f, -0.0247f, 0.0053f,  0.0059f,  0.0161f, -0.0067f};
static const float recurrent_weight[12] = {0.011f, -0.022f, 0.033f, 0.044f, -0.055f, 0.016f,
                                           0.027f, -0.038f, 0.049f, 0.015f, 0.026f,  -0.037f};
static const float rate_weight[6] = {0.011f, -0.022f, 0.033f, 0.027f, -0.018f, 0.009f};

static const struct matrix {
    const char *name;
    size_t rows, cols;
    const float *values;
} matrices[] = {{"gru.weight_ih_l0", 6, 3, input_weight},
                {"gru.weight_hh_l0", 6, 2, recurrent_weight},
                {"rate.weight", 3, 2, rate_weight}};
#define N_MATRICES (sizeof matrices / sizeof *matrices)

/* What a stored file's tensors point to. */
struct stored {
    uint16_t halves[N_MATRICES][18];
    int8_t steps[N_MATRICES][18];
    float scale[N_MATRICES][6];
    char names[N_MATRICES][40];
    float latents[4], lograte[6];
};

static void store_bf16(struct file_tensor *t, const struct matrix *m, uint16_t *halves)
{
    size_t n = m->rows * m->cols;
    for (size_t i = 0; i < n; i++) halves[i] = bf16_round(m->values[i]);
    t->type = "BF16";
    t->data = halves;
    t->n_bytes = n * 2;
}

static void store_int8(struct file_tensor *t, const struct matrix *m, int8_t *steps, float *scale)
{
    for (size_t r = 0; r < m->rows; r++) {
        const float *row = m->values + r * m->cols;
        scale[r] = 0.0f;
        for (size_t c = 0; c < m->cols; c++) scale[r] = fmaxf(scale[r], fabsf(row[c]) / 127.0f);
        for (size_t c = 0; c < m->cols; c++)
            steps[r * m->cols + c] = (int8_t)rintf(row[c] / scale[r]);
    }
    t->type = "I8";
    t->data = steps;
    t->n_bytes = m->rows * m->cols;
}

/* sum of row r of a matrix times x */
static double row_times(const float *matrix, size_t cols, size_t r, const double *x)
{
    double sum = 0.0;
    for (size_t c = 0; c < cols; c++) sum += (double)matrix[r * cols + c] * x[c];
    return sum;
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* The known answer of two bins in float64: latents [2, 2], log-rates [2, 3]. Biases of
 * the cell are zero. */
static void gru_answer(float *latents, float *lograte, const float *input, const float *rate_bias)
{
    double h[2] = {0.0, 0.0}, next[2];
    for (size_t t = 0; t < 2; t++) {
        double x[3];
        for (size_t c = 0; c < 3; c++) x[c] = (double)input[t * 3 + c];
        for (size_t i = 0; i < 2; i++) {
            double r =
                sigmoid(row_times(input_weight, 3, i, x) + row_times(recurrent_weight, 2, i, h));
            double z = sigmoid(row_times(input_weight, 3, 2 + i, x) +
                               row_times(recurrent_weight, 2, 2 + i, h));
            double n = tanh(row_times(input_weight, 3, 4 + i, x) +
                            r * row_times(recurrent_weight, 2, 4 + i, h));
            next[i] = (1.0 - z) * n + z * h[i];
        }
        memcpy(h, next, sizeof h);
        for (size_t i = 0; i < 2; i++) latents[t * 2 + i] = (float)h[i];
        for (size_t i = 0; i < 3; i++)
            lograte[t * 3 + i] = (float)(row_times(rate_weight, 2, i, h) + (double)rate_bias[i]);
    }
}

/* A gru with these matrices, stored in this precision, listing `listed`. */
static struct model_parts gru(struct stored *s, enum precision precision, const char *listed)
{
    struct model_parts parts = maker_gru();
    for (size_t i = 0; i < N_MATRICES; i++) {
        struct file_tensor *t = maker_find(&parts, matrices[i].name);
        t->data = matrices[i].values;
        if (precision == PRECISION_BF16) store_bf16(t, &matrices[i], s->halves[i]);
        if (precision != PRECISION_INT8) continue;
        store_int8(t, &matrices[i], s->steps[i], s->scale[i]);
        snprintf(s->names[i], sizeof s->names[i], "%s.scale", matrices[i].name);
        maker_add(
            &parts,
            (struct file_tensor){
                s->names[i], "F32", 1, {matrices[i].rows}, s->scale[i], matrices[i].rows * 4});
    }
    gru_answer(s->latents, s->lograte, maker_find(&parts, "selftest.input")->data,
               maker_find(&parts, "rate.bias")->data);
    maker_find(&parts, "selftest.causal.latents")->data = s->latents;
    maker_find(&parts, "selftest.causal.lograte")->data = s->lograte;
    /* The caller frees the text. */
    parts.config = text_replace(parts.config, "[\"f32\"]", listed);
    return parts;
}

static void parts_free(struct model_parts *parts)
{
    free((void *)parts->config);
}

static latent_model *gru_open(enum precision stored, const char *listed)
{
    struct stored s = {0};
    struct model_parts parts = gru(&s, stored, listed);
    struct file_bytes file = maker_file(&parts);
    latent_model *m = NULL;
    struct latent_error err = {0};
    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    free(file.bytes);
    parts_free(&parts);
    return m;
}

/* Rates [N_STEPS, 3] of a decoder in this precision, over fixed counts. */
static void rates_run(float *rates, const latent_model *m, const char *precision)
{
    struct latent_options options = {.precision = precision};
    latent_decoder *d;
    struct latent_error err = {0};
    if (latent_decoder_new(&d, m, &options, &err)) fail_msg("%s", err.text);
    for (uint64_t t = 0; t < N_STEPS; t++) {
        float counts[3] = {(float)(t % 4), (float)(t % 3), (float)(t * 7 % 5)};
        struct latent_bin bin = {.seq = t, .n_channels = 3, .counts = counts};
        struct latent_frame frame;
        assert_int_equal(latent_decoder_step(d, &bin, &frame), 0);
        memcpy(rates + t * 3, frame.rates, 3 * sizeof *rates);
    }
    latent_decoder_free(d);
}

static double largest_difference(const float *a, const float *b)
{
    double most = 0.0;
    for (size_t i = 0; i < N_STEPS * 3; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]) / (double)b[i]);
    return most;
}

static const char all[] = "[\"bf16\",\"f32\",\"int8\"]";

static void test_each_precision_rounds(void **state)
{
    (void)state;
    latent_model *m = gru_open(PRECISION_F32, all);
    float f32[N_STEPS * 3], bf16[N_STEPS * 3], int8[N_STEPS * 3], again[N_STEPS * 3];
    rates_run(f32, m, "f32");
    rates_run(bf16, m, "bf16");
    rates_run(int8, m, "int8");
    double lost_bf16 = largest_difference(bf16, f32), lost_int8 = largest_difference(int8, f32);
    assert_true(lost_bf16 > 0.0 && lost_bf16 < 1e-3);
    assert_true(lost_int8 > 0.0 && lost_int8 < 3e-3);
    rates_run(again, m, NULL); /* the first is the default */
    assert_memory_equal(again, bf16, sizeof bf16);
    rates_run(again, m, "int8");
    assert_memory_equal(again, int8, sizeof int8);
    latent_model_close(m);
}

static void test_decoders_have_their_own_id(void **state)
{
    (void)state;
    latent_model *m = gru_open(PRECISION_F32, all);
    uint64_t ids[3];
    for (int i = 0; i < N_PRECISIONS; i++) {
        struct latent_options options = {.precision = precision_name((enum precision)i)};
        latent_decoder *d;
        assert_int_equal(latent_decoder_new(&d, m, &options, NULL), 0);
        ids[i] = latent_decoder_id(d);
        latent_decoder_free(d);
    }
    assert_true(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    latent_model_close(m);
}

/* What is loaded is what is listed, and raw matrices are gone. */
static void test_only_what_is_listed_is_held(void **state)
{
    (void)state;
    latent_model *m = gru_open(PRECISION_F32, "[\"int8\"]");
    latent_decoder *d;
    struct latent_options options = {.precision = "f32"};
    struct latent_error err = {0};
    for (int p = 0; p < N_PRECISIONS; p++) {
        assert_int_equal(m->memory[p].used, m->memory[p].size);
        assert_true((m->memory[p].size > 0) == (p == PRECISION_INT8));
    }
    assert_int_equal(latent_decoder_new(&d, m, &options, &err), LATENT_E_UNSUPPORTED);
    assert_text_has(err.text, WORDS("\"f32\"", "\"int8\""));
    latent_model_close(m);
}

static void test_stored_equals_rounded_at_load(void **state)
{
    (void)state;
    float rounded[N_STEPS * 3], stored[N_STEPS * 3];
    latent_model *m = gru_open(PRECISION_F32, all);
    latent_model *half = gru_open(PRECISION_BF16, "[\"bf16\"]");
    latent_model *quarter = gru_open(PRECISION_INT8, "[\"int8\"]");
    rates_run(rounded, m, "bf16");
    rates_run(stored, half, "bf16");
    assert_memory_equal(stored, rounded, sizeof stored);
    rates_run(rounded, m, "int8");
    rates_run(stored, quarter, "int8");
    assert_true(largest_difference(stored, rounded) < 1e-6); /* scales, last digit */
    latent_model_close(m);
    latent_model_close(half);
    latent_model_close(quarter);
}

/* Stored rounded, a file cannot offer what was rounded away. */
static void test_storage_is_refused_where_it_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        enum precision stored;
        const char *listed;
        const char *words[4];
    } cases[] = {
        {PRECISION_BF16, "[\"bf16\",\"f32\"]", {"F32 (precision f32)", "found BF16"}},
        {PRECISION_BF16, "[\"int8\"]", {"F32 or I8 (precision int8)", "found BF16"}},
        {PRECISION_INT8, "[\"bf16\"]", {"F32 or BF16 (precision bf16)", "found I8"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stored s = {0};
        struct model_parts parts = gru(&s, cases[i].stored, cases[i].listed);
        check_parts_refused(&parts, LATENT_E_TENSOR, cases[i].words);
        parts_free(&parts);
    }
}

static void test_scales_are_checked(void **state)
{
    (void)state;
    struct stored s = {0};
    struct model_parts parts = gru(&s, PRECISION_INT8, "[\"int8\"]"), changed = parts;
    maker_remove(&changed, "rate.weight.scale");
    check_parts_refused(&changed, LATENT_E_TENSOR,
                        WORDS("\"rate.weight.scale\" is missing", "F32 [3]"));
    changed = parts;
    maker_find(&changed, "rate.weight.scale")->shape[0] = 1;
    maker_find(&changed, "rate.weight.scale")->n_bytes = 4;
    check_parts_refused(&changed, LATENT_E_TENSOR,
                        WORDS("\"rate.weight.scale\"", "expected shape [3]"));
    s.scale[2][1] = INFINITY;
    check_parts_refused(&parts, LATENT_E_TENSOR, WORDS("\"rate.weight.scale\"", "finite", "[1]"));
    parts_free(&parts);
}

/* A scale that is nobody's is left over. */
static void test_scale_of_a_float_matrix_is_left_over(void **state)
{
    (void)state;
    struct stored s = {0};
    struct model_parts parts = gru(&s, PRECISION_F32, "[\"int8\"]");
    maker_add(&parts, (struct file_tensor){"rate.weight.scale", "F32", 1, {3}, rate_weight, 12});
    check_parts_refused(&parts, LATENT_E_TENSOR, WORDS("\"rate.weight.scale\"", "no such tensor"));
    parts_free(&parts);
}

static void test_a_precision_it_cannot_afford_is_refused(void **state)
{
    (void)state;
    struct stored s = {0};
    static float large[6];
    struct model_parts parts = gru(&s, PRECISION_F32, "[\"int8\"]");
    for (int i = 0; i < 6; i++) large[i] = 4096.0f;
    maker_find(&parts, "rate.weight")->data = large;
    check_parts_refused(&parts, LATENT_E_SELFTEST,
                        WORDS("precision int8", "cannot afford the precision"));
    parts_free(&parts);
}

static void test_narrow_needs_an_architecture_that_offers_it(void **state)
{
    (void)state;
    struct model_parts parts = maker_kalman();
    check_config_refused(&parts, "[\"f32\"]", "[\"f32\",\"bf16\"]", LATENT_E_UNSUPPORTED,
                         WORDS("\"precisions\"", "kalman (f32)", "\"bf16\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_precision_rounds),
        cmocka_unit_test(test_decoders_have_their_own_id),
        cmocka_unit_test(test_only_what_is_listed_is_held),
        cmocka_unit_test(test_stored_equals_rounded_at_load),
        cmocka_unit_test(test_storage_is_refused_where_it_does_not_fit),
        cmocka_unit_test(test_scales_are_checked),
        cmocka_unit_test(test_scale_of_a_float_matrix_is_left_over),
        cmocka_unit_test(test_a_precision_it_cannot_afford_is_refused),
        cmocka_unit_test(test_narrow_needs_an_architecture_that_offers_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
