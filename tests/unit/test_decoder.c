/* The decoder over the shipped models: determinism, resets, snapshots, flags, bad bins. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "decode/model_file.h"
#include "decode/readout.h"
#include "decoder_runs.h"
#include "tensor_file.h"

enum { MAX_BINS = 110 };

static void test_reset_equals_new(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_shipped; i++) {
        latent_model *m = model_open(shipped[i].file);
        size_t n = channels_of(m);
        float *counts = counts_new(MAX_BINS, n, 1);
        latent_decoder *a = decoder_new(m, shipped[i].mode), *b = decoder_new(m, shipped[i].mode);
        struct run first = run_bins(a, counts, n, 0, MAX_BINS);
        struct run same = run_bins(b, counts, n, 0, MAX_BINS);
        latent_decoder_reset(a);
        struct run again = run_bins(a, counts, n, 0, MAX_BINS);
        struct run copy = {0};
        run_append(&copy, first.bytes, first.n);
        run_assert_equal(&first, &same);
        run_assert_equal(&copy, &again);
        latent_decoder_free(a), latent_decoder_free(b), free(counts);
        latent_model_close(m);
    }
}

/* A snapshot taken at any bin continues bit for bit in another decoder. */
static void test_snapshots(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_shipped; i++) {
        latent_model *m = model_open(shipped[i].file);
        size_t n = channels_of(m);
        float *counts = counts_new(MAX_BINS, n, 2);
        for (size_t at = 0; at < 60; at += 17) {
            latent_decoder *a = decoder_new(m, shipped[i].mode);
            latent_decoder *b = decoder_new(m, shipped[i].mode);
            struct run before = run_bins(a, counts, n, 0, at);
            struct run other = run_bins(b, counts, n, 90, 110);
            size_t size = latent_decoder_size(a);
            unsigned char *snapshot = malloc(size);
            assert_int_equal(latent_decoder_save(a, snapshot, size - 1), LATENT_E_SHAPE);
            assert_int_equal(latent_decoder_save(a, snapshot, size), 0);
            assert_int_equal(latent_decoder_load(b, snapshot, size), 0);
            struct run x = run_bins(a, counts, n, at, MAX_BINS);
            struct run y = run_bins(b, counts, n, at, MAX_BINS);
            run_assert_equal(&x, &y);
            snapshot[size / 2] ^= 1;
            assert_int_equal(latent_decoder_load(b, snapshot, size), LATENT_E_SNAPSHOT);
            assert_int_equal(latent_decoder_load(b, snapshot, size - 1), LATENT_E_SNAPSHOT);
            free(before.bytes), free(other.bytes), free(snapshot);
            latent_decoder_free(a), latent_decoder_free(b);
        }
        free(counts);
        latent_model_close(m);
    }
}

/* Warming between bins changes nothing. */
static void test_warming_leaves_no_trace(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_shipped; i++) {
        latent_model *m = model_open(shipped[i].file);
        latent_decoder *d = decoder_new(m, shipped[i].mode);
        size_t n = channels_of(m), size = latent_decoder_size(d);
        float *counts = counts_new(20, n, 5);
        unsigned char *before = malloc(size), *after = malloc(size);
        struct run run = run_bins(d, counts, n, 0, 20);
        assert_int_equal(latent_decoder_save(d, before, size), 0);
        latent_decoder_warm(d);
        assert_int_equal(latent_decoder_save(d, after, size), 0);
        assert_memory_equal(before, after, size);
        free(before), free(after), free(counts), free(run.bytes);
        latent_decoder_free(d);
        latent_model_close(m);
    }
}

static void test_snapshot_of_another(void **state)
{
    (void)state;
    latent_model *m = model_open("models/ndt/lorenz_causal.safetensors");
    latent_decoder *a = decoder_new(m, "A"), *c = decoder_new(m, "C");
    size_t size = latent_decoder_size(a) + latent_decoder_size(c);
    void *snapshot = malloc(size);
    assert_int_equal(latent_decoder_save(a, snapshot, size), 0);
    assert_int_equal(latent_decoder_load(c, snapshot, size), LATENT_E_SNAPSHOT);
    assert_true(latent_decoder_id(a) != latent_decoder_id(c));
    free(snapshot);
    latent_decoder_free(a), latent_decoder_free(c);
    latent_model_close(m);
}

/* Wrong width and non-finite counts are refused, and nobody can tell that they were
 * there. */
static void test_bad_bins_leave_no_trace(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_shipped; i++) {
        latent_model *m = model_open(shipped[i].file);
        size_t n = channels_of(m);
        float *counts = counts_new(40, n, 3), *bad = counts_new(1, n, 4);
        latent_decoder *a = decoder_new(m, shipped[i].mode), *b = decoder_new(m, shipped[i].mode);
        struct run x = run_bins(a, counts, n, 0, 40), y = {0};
        struct latent_frame f;
        const float values[] = {NAN, INFINITY, -INFINITY};
        for (size_t t = 0; t < 40; t++) {
            bad[t % n] = values[t % 3];
            struct latent_bin bin = {.n_channels = (uint32_t)n, .counts = bad};
            bin.marks = LATENT_MARK_TRIAL_START;
            assert_int_equal(latent_decoder_step(b, &bin, &f), LATENT_E_VALUE);
            bin.n_channels++;
            assert_int_equal(latent_decoder_step(b, &bin, &f), LATENT_E_SHAPE);
            bad[t % n] = 0.0f;
            step(b, counts + t * n, n, 0, &f);
            run_add(&y, &f, 0);
        }
        run_assert_equal(&x, &y);
        free(counts), free(bad);
        latent_decoder_free(a), latent_decoder_free(b);
        latent_model_close(m);
    }
}

static void test_predict_is_finite_and_flagged(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_shipped; i++) {
        latent_model *m = model_open(shipped[i].file);
        size_t n = channels_of(m);
        float *counts = counts_new(10, n, 5);
        latent_decoder *d = decoder_new(m, shipped[i].mode);
        struct latent_frame f;
        for (size_t t = 0; t < 10; t++) step(d, counts + t * n, n, 0, &f);
        assert_false(f.flags & LATENT_PREDICTED);
        for (int t = 0; t < 30; t++) {
            assert_int_equal(latent_decoder_predict(d, &f), 0);
            assert_true(f.flags & LATENT_PREDICTED);
            for (size_t k = 0; k < f.n_rates; k++) assert_true(isfinite(f.rates[k]));
            for (size_t k = 0; k < f.n_readout; k++) assert_true(isfinite(f.readout[k]));
        }
        free(counts);
        latent_decoder_free(d);
        latent_model_close(m);
    }
}

static void test_trial_marks(void **state)
{
    (void)state;
    latent_model *m = model_open("models/ndt/lorenz_causal.safetensors");
    struct latent_info info;
    latent_model_info(m, &info);
    size_t n = info.n_channels;
    float *counts = counts_new(1, n, 6);
    latent_decoder *d = decoder_new(m, "A");
    struct latent_frame f;
    step(d, counts, n, 0, &f);
    assert_false(f.flags & LATENT_RESET); /* a new decoder was not reset by anybody */
    for (uint32_t t = 1; t < info.trial_bins; t++) step(d, counts, n, 0, &f);
    assert_false(f.flags & LATENT_OUTSIDE);
    step(d, counts, n, 0, &f); /* past the last position */
    assert_true(f.flags & LATENT_OUTSIDE);
    assert_int_equal(f.n_rates, 0);
    step(d, counts, n, LATENT_MARK_TRIAL_START, &f);
    assert_int_equal(f.flags & (LATENT_OUTSIDE | LATENT_RESET), LATENT_RESET);
    assert_int_equal(f.n_rates, info.n_rates);
    step(d, counts, n, LATENT_MARK_TRIAL_END, &f);
    assert_int_equal(f.flags, 0);
    step(d, counts, n, 0, &f);
    assert_true(f.flags & LATENT_OUTSIDE);
    assert_int_equal(latent_decoder_predict(d, &f), 0);
    assert_true(f.flags & LATENT_OUTSIDE);
    step(d, counts, n, LATENT_MARK_RESET, &f);
    assert_int_equal(f.flags, LATENT_RESET);
    free(counts);
    latent_decoder_free(d);
    latent_model_close(m);
}

static void test_warmup(void **state)
{
    (void)state;
    latent_model *m = model_open("models/wiener/reach.safetensors");
    size_t n = channels_of(m), warm = 0;
    float *counts = counts_new(1, n, 7);
    for (size_t k = 0; k < n; k++) counts[k] += 1.0f;
    latent_decoder *d = decoder_new(m, NULL);
    struct latent_info info;
    struct latent_frame f;
    latent_model_info(m, &info);
    for (;; warm++) {
        step(d, counts, n, 0, &f);
        if (!(f.flags & LATENT_WARMUP)) break;
        for (size_t k = 0; k < f.n_readout; k++)
            assert_true(f.readout[k] == info.readout[k].neutral);
        assert_true(warm < 1000);
    }
    assert_true(warm > 0);
    free(counts);
    latent_decoder_free(d);
    latent_model_close(m);
}

static void test_input_clipped(void **state)
{
    (void)state;
    latent_model *m = model_open("models/ndt/lorenz_causal.safetensors");
    size_t n = channels_of(m);
    float *counts = counts_new(1, n, 8);
    latent_decoder *d = decoder_new(m, "A");
    struct latent_frame f;
    step(d, counts, n, 0, &f);
    assert_false(f.flags & LATENT_INPUT_CLIPPED);
    counts[3] = 60000.0f;
    step(d, counts, n, 0, &f);
    assert_true(f.flags & LATENT_INPUT_CLIPPED);
    free(counts);
    latent_decoder_free(d);
    latent_model_close(m);
}

static void test_readout_limits(void **state)
{
    (void)state;
    const struct latent_readout spec[] = {
        {.name = "x", .neutral = 0, .min = -2, .max = 3, .slew = INFINITY},
        {.name = "y", .neutral = 1, .min = -INFINITY, .max = INFINITY, .slew = 10},
    };
    float y[2], last[2];
    readout_neutral(y, last, spec, 2);
    assert_true(y[0] == 0.0f && y[1] == 1.0f && last[1] == 1.0f);
    y[0] = 1.5f, y[1] = 1.25f;
    assert_int_equal(readout_limit(y, last, spec, 2, 0.05), 0);
    assert_true(y[0] == 1.5f && y[1] == 1.25f);
    y[0] = 9.0f, y[1] = 9.0f; /* at most 0.5 a bin */
    assert_int_equal(readout_limit(y, last, spec, 2, 0.05), LATENT_LIMITED);
    assert_true(y[0] == 3.0f && y[1] == 1.75f);
    y[0] = -9.0f, y[1] = -9.0f;
    assert_int_equal(readout_limit(y, last, spec, 2, 0.05), LATENT_LIMITED);
    assert_true(y[0] == -2.0f && y[1] == 1.25f);
}

/* s = 1e30 s + u: the second bin overflows float32. Its known answer is plain
 * arithmetic. */
static void test_non_finite_output(void **state)
{
    (void)state;
    const double m1 = 1e30, m2 = 1, m0 = 0;
    const float one = 1;
    const struct file_tensor tensors[] = {
        {"M1", "F64", 2, {1, 1}, &m1, 8},
        {"M2", "F64", 2, {1, 1}, &m2, 8},
        {"m0", "F64", 1, {1}, &m0, 8},
        {"selftest.input", "F32", 2, {1, 1}, &one, 4},
        {"selftest.causal.latents", "F32", 2, {1, 1}, &one, 4},
        {"selftest.causal.readout", "F32", 2, {1, 1}, &one, 4},
    };
    const char *config =
        "{\"format\":1,\"arch\":\"kalman\",\"n_channels\":1,\"bin_width_us\":10000,"
        "\"modes\":[\"causal\"],\"precisions\":[\"f32\"],\"hyper\":{\"form\":\"given\"}"
        ",\"outputs\":{\"latents\":1,\"rates\":0,\"readout\":[{\"name\":\"v\",\"unit\":"
        "\"mm/s\","
        "\"neutral\":0,\"min\":null,\"max\":null,\"slew\":null}]},\"licence\":\"none\","
        "\"source\":\"test\",\"checkpoint_sha256\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\"}";
    struct file_bytes file = tensor_file_make(config, tensors, 6);
    struct latent_error err = {0};
    struct latent_options options = {.predicts = 1};
    struct latent_frame f;
    latent_model *m = NULL;
    latent_decoder *d = NULL;
    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    assert_int_equal(latent_decoder_new(&d, m, &options, &err), LATENT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "export it again with --statistics"));
    assert_int_equal(latent_decoder_new(&d, m, NULL, &err), 0);
    struct latent_bin bin = {.n_channels = 1, .counts = &one};
    step(d, &one, 1, 0, &f);
    assert_int_equal(latent_decoder_step(d, &bin, &f), 0);
    assert_int_equal(latent_decoder_step(d, &bin, &f), LATENT_E_OUTPUT);
    assert_int_equal(f.n_readout + f.n_latents, 0);
    assert_int_equal(latent_decoder_step(d, &bin, &f), LATENT_E_OUTPUT); /* until reset */
    latent_decoder_reset(d);
    step(d, &one, 1, 0, &f);
    assert_true(f.readout[0] == 1.0f);
    assert_int_equal(f.flags, LATENT_RESET);
    free(file.bytes);
    latent_decoder_free(d);
    latent_model_close(m);
}

static void test_options_are_refused(void **state)
{
    (void)state;
    latent_model *m = model_open("models/kalman/reach.safetensors");
    struct latent_error err = {0};
    latent_decoder *d = NULL;
    struct latent_options mode = {.mode = "A"}, precision = {.precision = "bf16"};
    struct latent_options rates = {.groups = LATENT_GROUP_RATES};
    assert_int_equal(latent_decoder_new(&d, m, &mode, &err), LATENT_E_UNSUPPORTED);
    assert_text_has(err.text, WORDS("\"A\"", "causal", "reach.safetensors"));
    assert_int_equal(latent_decoder_new(&d, m, &precision, &err), LATENT_E_UNSUPPORTED);
    assert_text_has(err.text, WORDS("bf16", "f32"));
    assert_int_equal(latent_decoder_new(&d, m, &rates, &err), LATENT_E_UNSUPPORTED);
    assert_text_has(err.text, WORDS("kalman", "rates"));
    assert_null(d);
    latent_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset_equals_new),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_warming_leaves_no_trace),
        cmocka_unit_test(test_snapshot_of_another),
        cmocka_unit_test(test_bad_bins_leave_no_trace),
        cmocka_unit_test(test_predict_is_finite_and_flagged),
        cmocka_unit_test(test_trial_marks),
        cmocka_unit_test(test_warmup),
        cmocka_unit_test(test_input_clipped),
        cmocka_unit_test(test_readout_limits),
        cmocka_unit_test(test_non_finite_output),
        cmocka_unit_test(test_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
