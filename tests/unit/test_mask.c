/* Masked channels: what the model gets of them, what frames tell, and SAFE when there are too
 * many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "line_trace.h"

enum { N_CHANNELS = 3, N_BINS = 40 };

static latent_model *open_parts(struct model_parts parts)
{
    struct file_bytes file = maker_file(&parts);
    struct latent_error err = {0};
    latent_model *m = NULL;

    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    free(file.bytes);
    return m;
}

static latent_decoder *decoder_of(const latent_model *m)
{
    const struct latent_options options = {.any_finite = 1, .predicts = 1};
    latent_decoder *d = NULL;

    assert_int_equal(latent_decoder_new(&d, m, &options, NULL), 0);
    return d;
}

static void step(latent_decoder *d, const float *counts, uint32_t marks, struct latent_frame *f)
{
    const struct latent_bin bin = {.n_channels = N_CHANNELS, .counts = counts, .marks = marks};

    assert_int_equal(latent_decoder_step(d, &bin, f), 0);
}

/* The model's training means: 1, 1.5, 0.75. */
static void assert_as_if(latent_decoder *masked, latent_decoder *plain, uint8_t bits,
                         const float *counts, uint32_t marks)
{
    static const float mean[N_CHANNELS] = {1.0f, 1.5f, 0.75f};
    struct latent_frame a, b;
    float given[N_CHANNELS];

    for (size_t c = 0; c < N_CHANNELS; c++) given[c] = bits >> c & 1 ? mean[c] : counts[c];
    step(masked, counts, marks, &a);
    step(plain, given, marks, &b);
    assert_int_equal(a.flags, b.flags | (bits ? LATENT_MASKED : 0));
    assert_memory_equal(a.latents, b.latents, a.n_latents * sizeof(float));
    assert_memory_equal(a.readout, b.readout, a.n_readout * sizeof(float));
}

static void check_mask(latent_decoder *d, uint8_t bits, uint32_t version)
{
    uint8_t found = 0xff;

    assert_int_equal(latent_decoder_mask(d, &bits, 1, version), 0);
    assert_int_equal(latent_decoder_masked(d, &found, 1), __builtin_popcount(bits));
    assert_int_equal(found, bits);
    assert_int_equal(latent_decoder_mask_version(d), version);
}

/* Bit for bit what a bin with the means in their place gives, through resets and changes. */
static void test_as_the_mean(void **state)
{
    latent_model *m = open_parts(maker_kalman());
    latent_decoder *masked = decoder_of(m), *plain = decoder_of(m);
    struct latent_frame f;
    uint8_t bits = 0;
    (void)state;
    assert_int_equal(latent_decoder_mask_version(masked), 0);
    for (uint32_t i = 0; i < N_BINS; i++) {
        const float counts[N_CHANNELS] = {(float)(i % 4), (float)(i % 3), 1000.0f};

        if (i % 5 == 2) check_mask(masked, bits = (uint8_t)(i * 7 % 8), i + 1);
        assert_as_if(masked, plain, bits, counts, i % 11 == 0 ? LATENT_MARK_TRIAL_START : 0);
    }
    check_mask(masked, 1, 99);
    latent_decoder_reset(masked);
    assert_int_equal(latent_decoder_masked(masked, NULL, 0), 1);
    assert_int_equal(latent_decoder_predict(masked, &f), 0);
    assert_true(f.flags & LATENT_MASKED);
    check_mask(masked, 0, 100);
    assert_int_equal(latent_decoder_predict(masked, &f), 0);
    assert_false(f.flags & LATENT_MASKED);
    latent_decoder_free(masked);
    latent_decoder_free(plain);
    latent_model_close(m);
}

static void test_refused(void **state)
{
    latent_model *m = open_parts(maker_kalman()), *without = open_parts(maker_gru());
    latent_decoder *d = decoder_of(m), *other = decoder_of(without);
    uint8_t bits[2] = {2, 0}, beyond = 8, none = 0;
    (void)state;
    check_mask(d, 5, 3);
    assert_int_equal(latent_decoder_mask(d, bits, 2, 4), LATENT_E_SHAPE);
    assert_int_equal(latent_decoder_mask(d, bits, 0, 4), LATENT_E_SHAPE);
    assert_int_equal(latent_decoder_mask(d, &beyond, 1, 4), LATENT_E_SHAPE);
    assert_int_equal(latent_decoder_masked(d, bits, 2), 2);
    assert_int_equal(bits[0], 5);
    assert_int_equal(bits[1], 0);
    assert_int_equal(latent_decoder_mask_version(d), 3);
    bits[0] = 1;
    assert_int_equal(latent_decoder_mask(other, bits, 1, 4), LATENT_E_UNSUPPORTED);
    assert_int_equal(latent_decoder_mask_version(other), 0);
    assert_int_equal(latent_decoder_mask(other, &none, 1, 4), 0);
    latent_decoder_free(d);
    latent_decoder_free(other);
    latent_model_close(m);
    latent_model_close(without);
}

/* A snapshot brings its mask along. */
static void test_snapshot(void **state)
{
    latent_model *m = open_parts(maker_kalman());
    latent_decoder *a = decoder_of(m), *b = decoder_of(m);
    size_t n = latent_decoder_size(a);
    unsigned char *saved = malloc(n);
    uint8_t found;
    (void)state;
    check_mask(a, 6, 12);
    check_mask(b, 1, 3);
    assert_int_equal(latent_decoder_save(a, saved, n), 0);
    assert_int_equal(latent_decoder_load(b, saved, n), 0);
    assert_int_equal(latent_decoder_masked(b, &found, 1), 2);
    assert_int_equal(found, 6);
    assert_int_equal(latent_decoder_mask_version(b), 12);
    free(saved);
    latent_decoder_free(a);
    latent_decoder_free(b);
    latent_model_close(m);
}

/* As format 2 had it: without the last two pieces, the mask's flags and its version. */
static size_t make_older(unsigned char *saved, size_t n)
{
    enum { HEAD = 64, PIECE_HEAD = 12, NEW = 2 * PIECE_HEAD + 4 * N_CHANNELS + 8 };
    uint32_t format = 2, n_pieces;
    uint64_t n_fields = n - HEAD - NEW;

    memcpy(&n_pieces, saved + 12, 4);
    n_pieces -= 2;
    memcpy(saved + 8, &format, 4);
    memcpy(saved + 12, &n_pieces, 4);
    memcpy(saved + 24, &n_fields, 8);
    crypto_hash_sha256(saved + 32, saved + HEAD, n_fields);
    return HEAD + n_fields;
}

/* One of before there were masks: there is none then. */
static void test_older_snapshot(void **state)
{
    latent_model *m = open_parts(maker_kalman());
    latent_decoder *a = decoder_of(m), *b = decoder_of(m);
    const float counts[N_CHANNELS] = {2.0f, 1.0f, 3.0f};
    size_t n = latent_decoder_size(a), n_older;
    unsigned char *saved = malloc(n);
    struct latent_frame f;
    (void)state;
    step(a, counts, 0, &f);
    check_mask(b, 5, 3);
    assert_int_equal(latent_decoder_save(a, saved, n), 0);
    n_older = make_older(saved, n);
    assert_int_equal(latent_decoder_load(b, saved, n_older - 1), LATENT_E_SNAPSHOT);
    assert_int_equal(latent_decoder_masked(b, NULL, 0), 2);
    assert_int_equal(latent_decoder_load(b, saved, n_older), 0);
    assert_int_equal(latent_decoder_masked(b, NULL, 0), 0);
    assert_int_equal(latent_decoder_mask_version(b), 0);
    assert_as_if(b, a, 0, counts, 0);
    free(saved);
    latent_decoder_free(a);
    latent_decoder_free(b);
    latent_model_close(m);
}

/* ---- the line ---- */

static uint64_t send(struct rig *l, uint64_t seq, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++, seq++) {
        l->now_ns += RIG_BIN_NS;
        rig_send(l, 1, seq, 1, (float)(1 + i % 2));
    }
    return seq;
}

static void assert_last(struct rig *l, uint32_t flags, uint32_t version, enum line_state state)
{
    assert_int_equal(rig_last(l)->frame.values.flags & (LATENT_SAFE | LATENT_MASKED), flags);
    assert_int_equal(rig_last(l)->frame.mask_version, version);
    assert_int_equal(rig_counter(l, STATE_STATE), state);
}

/* One of three is not more than half; two are: SAFE at once, and until there are fewer. */
static void test_too_many(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    uint64_t seq;
    (void)state;
    options.policy.max_masked = 50;
    rig_open(&l, trace_model(), NULL, &options);
    seq = send(&l, 0, 20);
    assert_last(&l, 0, 0, LINE_STATE_RUNNING);
    rig_mask(&l, 4);
    seq = send(&l, seq, 5);
    assert_last(&l, LATENT_MASKED, 1, LINE_STATE_RUNNING);
    rig_mask(&l, 6);
    assert_last(&l, LATENT_SAFE, 2, LINE_STATE_SAFE_MASKED); /* its own frame */
    seq = send(&l, seq, 30);
    assert_last(&l, LATENT_SAFE, 2, LINE_STATE_SAFE_MASKED);
    line_safe_off(l.line);
    seq = send(&l, seq, 30);
    assert_last(&l, LATENT_SAFE, 2, LINE_STATE_SAFE_MASKED);
    rig_mask(&l, 2);
    seq = send(&l, seq, 30);
    assert_last(&l, LATENT_MASKED, 3, LINE_STATE_RUNNING);
    rig_mask(&l, 0);
    send(&l, seq, 1);
    assert_last(&l, 0, 4, LINE_STATE_RUNNING);
    rig_close(&l);
}

/* From the start, whatever the stream begins in. */
static void test_too_many_from_the_start(void **state)
{
    struct line_options options = trace_options();
    uint8_t bits = 7;
    struct rig l;
    (void)state;
    options.policy.max_masked = 50;
    rig_open(&l, trace_model(), NULL, &options);
    assert_int_equal(latent_decoder_mask(l.decoder, &bits, 1, 1), 0);
    send(&l, 0, 1);
    assert_last(&l, LATENT_SAFE, 1, LINE_STATE_SAFE_MASKED);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_mean), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_snapshot),    cmocka_unit_test(test_older_snapshot),
        cmocka_unit_test(test_too_many),    cmocka_unit_test(test_too_many_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
