/* The readout stage: its mistakes, warm-up, gaps, resets, snapshots, whole trials. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model_maker.h"

static const struct change {
    const char *from, *to;
    int status;
    const char *words[3];
} mistakes[] = {
    {"\"lags\":2",
     "\"lags\":2,\"lag\":1",
     LATENT_E_CONFIG,
     {"latent.config.stage", "\"lag\"", "\"lags\""}},
    {"\"lags\":2", "\"lags\":0", LATENT_E_CONFIG, {"latent.config.stage", "\"lags\"", "1"}},
    {"\"lags\":2", "\"lags\":1001", LATENT_E_CONFIG, {"latent.config.stage", "\"lags\"", "1000"}},
    {"\"lags\":2", "\"lags\":3", LATENT_E_TENSOR, {"stage.weight", "[2,3,2]", "[2,2,2]"}},
    {",\"lags\":2", "", LATENT_E_CONFIG, {"latent.config.stage", "\"lags\"", "missing"}},
    {"\"tau_ms\":28",
     "\"tau_ms\":-28",
     LATENT_E_CONFIG,
     {"latent.config.stage", "\"tau_ms\"", "0"}},
    {"\"tau_ms\":28.853900817779268",
     "\"tau_ms\":\"fast\"",
     LATENT_E_CONFIG,
     {"latent.config.stage", "\"tau_ms\"", "number"}},
    {"\"tau_ms\":28",
     "\"tau_ms\":38",
     LATENT_E_SELFTEST,
     {"selftest.causal.readout", "bin 1", "element 0"}},
    {"\"input\":\"latents\"",
     "\"input\":\"rates\"",
     LATENT_E_CONFIG,
     {"latent.config.stage", "\"input\"", "\"rates\""}},
    {"\"input\":\"latents\"",
     "\"input\":\"spikes\"",
     LATENT_E_CONFIG,
     {"latent.config.stage", "\"input\"", "spikes"}},
    {"\"stage\":{",
     "\"stage\":7,\"stages\":{",
     LATENT_E_CONFIG,
     {"latent.config", "\"stage\"", "object"}},
};

static void test_each_mistake(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_stage();
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        const struct change *c = &mistakes[i];
        check_config_refused(&parts, c->from, c->to, c->status,
                             WORDS(c->words[0], c->words[1], c->words[2]));
    }
}

/* A second readout, and one that nothing describes. */
static void test_what_a_stage_does_not_go_with(void **unused)
{
    (void)unused;
    static const double bias[2] = {1.0, 0.0};
    static const float own_weight[4] = {2.0f, 0.0f, 0.0f, -1.0f}, own_bias[2] = {0};
    struct model_parts parts = maker_stage();
    maker_add(&parts, (struct file_tensor){"readout.weight", "F32", 2, {2, 2}, own_weight, 16});
    maker_add(&parts, (struct file_tensor){"readout.bias", "F32", 1, {2}, own_bias, 8});
    check_parts_refused(&parts, LATENT_E_CONFIG,
                        WORDS("latent.config.stage", "a readout of its own"));

    parts = maker_stage();
    const char *list = strstr(parts.config, "\"readout\":["), *end = strstr(list, "]}");
    char *config = NULL;
    assert_true(asprintf(&config, "%.*s\"readout\":[%s", (int)(list - parts.config), parts.config,
                         end) > 0);
    parts.config = config;
    check_parts_refused(&parts, LATENT_E_CONFIG,
                        WORDS("latent.config.stage", "outputs.readout", "empty"));
    free(config);

    parts = maker_kalman();
    maker_add(&parts, (struct file_tensor){"stage.bias", "F64", 1, {2}, bias, 16});
    check_parts_refused(&parts, LATENT_E_TENSOR, WORDS("\"stage.bias\"", "expected"));
}

/* ---- running ---- */

enum { N_BINS = 4 };

struct stream {
    latent_model *model;
    latent_decoder *decoder;
};

static struct stream stream_open(struct model_parts parts, const char *mode)
{
    struct stream s = {0};
    struct latent_error err = {0};
    struct file_bytes file = maker_file(&parts);
    struct latent_options options = {.mode = mode, .predicts = 1};
    if (model_open_bytes(&s.model, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    free(file.bytes);
    if (latent_decoder_new(&s.decoder, s.model, &options, &err)) fail_msg("%s", err.text);
    return s;
}

static void stream_close(struct stream *s)
{
    latent_decoder_free(s->decoder);
    latent_model_close(s->model);
}

static const float *known(const char *tensor)
{
    struct model_parts parts = maker_stage();
    return maker_find(&parts, tensor)->data;
}

static struct latent_frame step(struct stream *s, size_t t)
{
    struct latent_frame frame;
    struct latent_bin bin = {.n_channels = 3, .counts = known("selftest.input") + 3 * t};
    assert_int_equal(latent_decoder_step(s->decoder, &bin, &frame), 0);
    return frame;
}

static void check_readout(const struct latent_frame *f, size_t t)
{
    assert_int_equal(f->n_readout, 2);
    assert_false(f->flags & LATENT_WARMUP);
    for (size_t i = 0; i < 2; i++)
        if (fabsf(f->readout[i] - known("selftest.causal.readout")[2 * t + i]) > 2e-6f)
            fail_msg("bin %zu: readout %zu is %.9g", t, i, (double)f->readout[i]);
}

static const char *fast_config(void)
{
    static char text[2048];
    struct model_parts parts = maker_stage();
    char *config = text_replace(parts.config, "\"slew\":25.5", "\"slew\":null");
    snprintf(text, sizeof text, "%s", config);
    free(config);
    return text;
}

/* Without the slew limit, so that frames show what the stage gives. */
static struct stream fast_open(void)
{
    struct model_parts parts = maker_stage();
    parts.config = fast_config();
    return stream_open(parts, NULL);
}

static void test_neutral_until_the_lags_are_filled(void **unused)
{
    (void)unused;
    struct stream s = fast_open();
    for (int run = 0; run < 2; run++) {
        struct latent_frame f = step(&s, 0);
        assert_true(f.flags & LATENT_WARMUP);
        assert_true(f.n_latents == 2 && f.latents[0] == 0.5f);
        assert_true(f.readout[0] == 0.0f && f.readout[1] == 0.5f);
        for (size_t t = 1; t < N_BINS; t++) {
            f = step(&s, t);
            check_readout(&f, t);
        }
        latent_decoder_reset(s.decoder);
    }
    stream_close(&s);
}

/* The whole state: the frames after a snapshot are those without it, to the last bit. */
static void test_snapshot(void **unused)
{
    (void)unused;
    for (size_t at = 0; at < N_BINS; at++) {
        struct stream a = fast_open(), b = fast_open();
        for (size_t t = 0; t < at; t++) step(&a, t);
        size_t n = latent_decoder_size(a.decoder);
        unsigned char *snapshot = malloc(n);
        assert_int_equal(latent_decoder_save(a.decoder, snapshot, n), 0);
        step(&b, 3);
        assert_int_equal(latent_decoder_load(b.decoder, snapshot, n), 0);
        for (size_t t = at; t < N_BINS; t++) {
            struct latent_frame fa = step(&a, t), fb = step(&b, t);
            assert_int_equal(fa.flags, fb.flags);
            assert_memory_equal(fa.readout, fb.readout, 2 * sizeof(float));
        }
        free(snapshot);
        stream_close(&a);
        stream_close(&b);
    }
}

/* A bin that did not come is decoded as the training mean, here as good as bin 1. */
static void test_predicted_bins_enter(void **unused)
{
    (void)unused;
    struct stream s = fast_open();
    struct latent_frame f;
    step(&s, 0);
    assert_int_equal(latent_decoder_predict(s.decoder, &f), 0);
    assert_true(f.flags & LATENT_PREDICTED);
    check_readout(&f, 1);
    f = step(&s, 2);
    check_readout(&f, 2);
    stream_close(&s);
}

/* ---- behind a transformer: rates, aligned trials, whole trials ---- */

/* ndt with constant outputs, rates exp(-2) and exp(1): z = 0, so the readout is the
 * bias, and scale tells that rates, not their logarithms, are read. */
static struct model_parts ndt_stage(char **config, const char *max)
{
    static const double mean[2] = {0.0, 2.718281828459045}, scale[2] = {1.0, 1.0};
    static const double weight[6] = {7.38905609893065, 0.0, 0.0, 1.0, 0.0, 5.0};
    static const double bias[1] = {4.0};
    static const float readout[4] = {5.0f, 5.0f, 5.0f, 5.0f};
    struct model_parts parts = maker_ndt();
    char entry[160];
    snprintf(entry, sizeof entry,
             "\"readout\":[{\"name\":\"x\",\"unit\":\"mm\",\"neutral\":-1,"
             "\"min\":null,\"max\":%s,\"slew\":null}]",
             max);
    char *with_readout = text_replace(parts.config, "\"readout\":[]", entry);
    *config = text_replace(with_readout, "\"outputs\":",
                           "\"stage\":{\"input\":\"rates\",\"tau_ms\":12.5,\"lags\":3},"
                           "\"outputs\":");
    free(with_readout);
    parts.config = *config;
    maker_add(&parts, (struct file_tensor){"stage.mean", "F64", 1, {2}, mean, 16});
    maker_add(&parts, (struct file_tensor){"stage.scale", "F64", 1, {2}, scale, 16});
    maker_add(&parts, (struct file_tensor){"stage.weight", "F64", 3, {1, 3, 2}, weight, 48});
    maker_add(&parts, (struct file_tensor){"stage.bias", "F64", 1, {1}, bias, 8});
    maker_add(&parts, (struct file_tensor){"selftest.A.readout", "F32", 2, {3, 1}, readout, 12});
    maker_add(&parts, (struct file_tensor){"selftest.C.readout", "F32", 2, {4, 1}, readout, 16});
    maker_add(&parts,
              (struct file_tensor){"selftest.trial.readout", "F32", 2, {3, 1}, readout, 12});
    return parts;
}

static void test_aligned_trial(void **unused)
{
    (void)unused;
    static const uint32_t expected[] = {LATENT_WARMUP, LATENT_WARMUP, 0, LATENT_OUTSIDE,
                                        LATENT_OUTSIDE};
    static const float counts[2] = {1.0f, 0.0f};
    char *config;
    struct stream s = stream_open(ndt_stage(&config, "null"), "A");
    for (size_t t = 0; t < 5; t++) {
        struct latent_bin bin = {.n_channels = 2, .counts = counts};
        struct latent_frame f;
        assert_int_equal(latent_decoder_step(s.decoder, &bin, &f), 0);
        assert_int_equal(f.flags, expected[t]);
        assert_true(fabsf(f.readout[0] - (t == 2 ? 5.0f : -1.0f)) < 1e-5f);
    }
    stream_close(&s);
    free(config);
}

static void test_whole_trial(void **unused)
{
    (void)unused;
    static const float counts[6] = {1.0f, 0.0f, 2.0f, 0.0f, 0.0f, 1.0f};
    char *config;
    struct stream s = stream_open(ndt_stage(&config, "4.5"), "trial");
    float readout[3];
    for (int run = 0; run < 2; run++) {
        assert_int_equal(latent_decoder_trial(s.decoder, counts, 3, NULL, NULL, readout), 0);
        assert_true(readout[0] == -1.0f && readout[1] == -1.0f);
        assert_true(readout[2] == 4.5f);
    }
    stream_close(&s);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_mistake),
        cmocka_unit_test(test_what_a_stage_does_not_go_with),
        cmocka_unit_test(test_neutral_until_the_lags_are_filled),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_predicted_bins_enter),
        cmocka_unit_test(test_aligned_trial),
        cmocka_unit_test(test_whole_trial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
