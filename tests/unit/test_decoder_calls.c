/* Calls that a decoder was not made for: refused by a status, and without a trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model_maker.h"

enum { N_CHANNELS = 2, N_BINS = 3 };
static const float counts[N_BINS * N_CHANNELS] = {1, 0, 2, 1, 0, 3};

static latent_model *model_new(void)
{
    struct model_parts parts = maker_ndt();
    struct file_bytes file = maker_file(&parts);
    struct latent_error err = {0};
    latent_model *m = NULL;
    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    free(file.bytes);
    return m;
}

static latent_decoder *decoder_new(const latent_model *m, const char *mode, uint32_t predicts)
{
    const struct latent_options options = {.mode = mode, .predicts = predicts};
    latent_decoder *d = NULL;
    assert_int_equal(latent_decoder_new(&d, m, &options, NULL), 0);
    return d;
}

static void step(latent_decoder *d, size_t t, struct latent_frame *f)
{
    const struct latent_bin bin = {.n_channels = N_CHANNELS, .counts = counts + t * N_CHANNELS};
    assert_int_equal(latent_decoder_step(d, &bin, f), 0);
}

static void assert_nothing(const struct latent_frame *f)
{
    assert_int_equal(f->n_latents + f->n_rates + f->n_readout, 0);
}

/* A mode of whole trials takes whole trials only. */
static void test_offline_mode(void **state)
{
    (void)state;
    latent_model *m = model_new();
    latent_decoder *d = decoder_new(m, "trial", 1);
    const struct latent_bin bin = {.n_channels = N_CHANNELS, .counts = counts};
    struct latent_frame f = {.n_rates = 7};
    assert_int_equal(latent_decoder_step(d, &bin, &f), LATENT_E_UNSUPPORTED);
    assert_nothing(&f);
    f.n_rates = 7;
    assert_int_equal(latent_decoder_predict(d, &f), LATENT_E_UNSUPPORTED);
    assert_nothing(&f);
    assert_int_equal(latent_decoder_trial(d, counts, N_BINS, NULL, NULL, NULL), 0);
    assert_int_equal(latent_decoder_trial(d, counts, 0, NULL, NULL, NULL), LATENT_E_SHAPE);
    assert_int_equal(latent_decoder_trial(d, counts, N_BINS + 1, NULL, NULL, NULL), LATENT_E_SHAPE);
    latent_decoder_free(d);
    latent_model_close(m);
}

/* A streaming mode takes no whole trials, and predicts only when it was made to. The state after
 * the refused calls is that of a decoder that never saw them. */
static void test_streaming_mode(void **state)
{
    (void)state;
    latent_model *m = model_new();
    latent_decoder *d = decoder_new(m, "A", 0), *other = decoder_new(m, "A", 1);
    size_t n = latent_decoder_size(d);
    unsigned char *after = malloc(n), *expected = malloc(n);
    struct latent_frame f, g;
    step(d, 0, &f);
    assert_int_equal(latent_decoder_predict(d, &f), LATENT_E_UNSUPPORTED);
    assert_nothing(&f);
    assert_int_equal(latent_decoder_trial(d, counts, N_BINS, NULL, NULL, NULL),
                     LATENT_E_UNSUPPORTED);
    step(d, 1, &f);
    step(other, 0, &g);
    step(other, 1, &g);
    assert_int_equal(f.flags, g.flags);
    assert_int_equal(latent_decoder_save(d, after, n), 0);
    assert_int_equal(latent_decoder_save(other, expected, n), 0);
    assert_memory_equal(after, expected, n);
    assert_int_equal(latent_decoder_predict(other, &g), 0);
    assert_true(g.flags & LATENT_PREDICTED);
    free(after);
    free(expected);
    latent_decoder_free(d);
    latent_decoder_free(other);
    latent_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offline_mode),
        cmocka_unit_test(test_streaming_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
