/* The kind of input that a model file states: one rule for the decoder, the line and known
 * answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "line_fixture.h"
#include "model_maker.h"

#define N_BAD 6
static const float no_counts[N_BAD] = {-1.0f, 0.5f, 8388607.5f, 16777216.0f, NAN, INFINITY};
static const float counts[] = {0.0f,     -0.0f,      1.0f,       255.0f,
                               65536.0f, 8388607.0f, 8388609.0f, 16777215.0f};

static void test_rule(void **state)
{
    const size_t n = sizeof counts / sizeof counts[0];
    (void)state;
    assert_int_equal(latent_input_check(LATENT_INPUT_COUNTS, counts, n), n);
    for (size_t i = 0; i < N_BAD; i++)
        for (size_t at = 0; at < 40; at++) {
            float values[40] = {0};
            values[at] = no_counts[i];
            assert_int_equal(latent_input_check(LATENT_INPUT_COUNTS, values, 40), at);
            size_t found = latent_input_check(LATENT_INPUT_REAL, values, 40);
            assert_int_equal(found, isfinite(no_counts[i]) ? 40 : at);
        }
    assert_string_equal(latent_input_name(LATENT_INPUT_REAL), "real");
}

/* The Kalman filter of model_maker.h, its file with more at the head of the configuration. */
static struct model_parts kalman_with(const char *more, char *config, size_t size)
{
    struct model_parts parts = maker_kalman();
    snprintf(config, size, "{%s%s", more, parts.config + 1);
    parts.config = config;
    return parts;
}

static void check_steps(const char *more, uint32_t any_finite, uint32_t input, bool takes_half)
{
    char config[4000];
    const struct model_parts parts = kalman_with(more, config, sizeof config);
    const struct latent_options options = {.any_finite = any_finite};
    struct file_bytes file = maker_file(&parts);
    struct latent_error err = {0};
    struct latent_info info;
    struct latent_frame frame;
    latent_model *m = NULL;
    latent_decoder *d = NULL;
    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    latent_model_info(m, &info);
    assert_int_equal(info.input, input);
    assert_int_equal(latent_decoder_new(&d, m, &options, &err), 0);
    for (size_t i = 0; i < N_BAD; i++) {
        const float values[3] = {1.0f, no_counts[i], 0.0f};
        struct latent_bin bin = {.n_channels = 3, .counts = values};
        int expected = takes_half && isfinite(no_counts[i]) ? 0 : LATENT_E_VALUE;
        assert_int_equal(latent_decoder_step(d, &bin, &frame), expected);
    }
    latent_decoder_free(d);
    latent_model_close(m);
    free(file.bytes);
}

static void test_decoder(void **state)
{
    (void)state;
    check_steps("", 0, LATENT_INPUT_COUNTS, false);
    check_steps("\"input\":\"counts\",", 0, LATENT_INPUT_COUNTS, false);
    check_steps("\"input\":\"real\",", 0, LATENT_INPUT_REAL, true);
    check_steps("", 1, LATENT_INPUT_COUNTS, true);
}

static void test_file(void **state)
{
    const char *const words[] = {"\"input\"", "\"spikes\"", NULL};
    char config[4000];
    struct model_parts parts = kalman_with("\"input\":\"spikes\",", config, sizeof config);
    (void)state;
    check_parts_refused(&parts, LATENT_E_CONFIG, words);
}

/* Any finite value in a known answer of a real model; whole counts in that of others. */
static void test_known_answer(void **state)
{
    const char *const words[] = {"whole counts from 0 to 65535", NULL};
    const char *const others[] = {"finite values", NULL};
    char config[4000];
    struct model_parts real = kalman_with("\"input\":\"real\",", config, sizeof config);
    struct model_parts plain = maker_kalman();
    float values[12] = {-0.5f}, nan[12] = {NAN};
    struct file_tensor *input = maker_find(&plain, "selftest.input");
    (void)state;
    assert_int_equal(input->n_bytes, sizeof values);
    input->data = values;
    check_parts_refused(&plain, LATENT_E_TENSOR, words);
    input = maker_find(&real, "selftest.input");
    input->data = nan;
    check_parts_refused(&real, LATENT_E_TENSOR, others);
    input->data = values; /* taken; then the answer is another */
    check_parts_refused(&real, LATENT_E_SELFTEST, (const char *const[]){NULL});
}

static void check_line(const char *more, bool any_finite, uint64_t n_refused)
{
    char config[4000];
    struct line_options options = rig_options();
    struct rig l;
    options.any_finite = any_finite;
    rig_open(&l, kalman_with(more, config, sizeof config), NULL, &options);
    rig_send(&l, 1, 1, 1, 2.0f);
    rig_send(&l, 1, 2, 1, -1.0f);
    rig_send(&l, 1, 3, 1, 0.5f);
    rig_send(&l, 1, 4, 1, 3.0f);
    assert_int_equal(rig_counter(&l, BINS_REFUSED_VALUE), n_refused);
    rig_close(&l);
}

/* A bin that is not of the kind is refused like one that is not finite; records made before there
 * were kinds run again by the rule of their time. */
static void test_line(void **state)
{
    (void)state;
    check_line("", false, 2);
    check_line("\"input\":\"real\",", false, 0);
    check_line("", true, 0);
}

/* ---- how much of it reaches the model ---- */

/* The known answer's input stays within. */
static struct model_parts clipping_parts(bool real, const char *clip)
{
    static char config[4000], clipping[4400];
    struct model_parts parts =
        kalman_with(real ? "\"input\":\"real\"," : "", config, sizeof config);
    const char *at = strstr(config, "\"variance\"");

    assert_non_null(at);
    snprintf(clipping, sizeof clipping, "%.*s%s,%s", (int)(at - config), config, clip, at);
    parts.config = clipping;
    return parts;
}

static latent_model *open_parts(const struct model_parts *parts)
{
    struct file_bytes file = maker_file(parts);
    struct latent_error err = {0};
    latent_model *m = NULL;

    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    free(file.bytes);
    return m;
}

static uint32_t step_once(const latent_model *m, const float *values, float latents[2])
{
    struct latent_bin bin = {.n_channels = 3, .counts = values};
    struct latent_frame frame;
    latent_decoder *d = NULL;

    assert_int_equal(latent_decoder_new(&d, m, NULL, NULL), 0);
    assert_int_equal(latent_decoder_step(d, &bin, &frame), 0);
    memcpy(latents, frame.latents, 2 * sizeof *latents);
    latent_decoder_free(d);
    return frame.flags & LATENT_INPUT_CLIPPED;
}

/* The first bin through the one model is the second through another that clips nothing. */
static void check_clipped(bool real, const float *values, const float *within, uint32_t flags)
{
    static const char high[] = "\"clip\":[3,2,2.5]";
    static const char both[] = "\"clip\":[3,2,2.5],\"clip_low\":[-1,0,-2]";
    struct model_parts parts = clipping_parts(real, real ? both : high);
    latent_model *clipping = open_parts(&parts), *plain;
    char config[4000];
    float found[2], expected[2], one[3];
    struct latent_info info;

    latent_model_info(clipping, &info);
    assert_int_equal(latent_input_clip(&info, one, values), flags);
    assert_memory_equal(one, within, sizeof one);
    memcpy(one, values, sizeof one);
    assert_int_equal(latent_input_clip(&info, one, one), flags);
    assert_memory_equal(one, within, sizeof one);
    parts = kalman_with("\"input\":\"real\",", config, sizeof config);
    plain = open_parts(&parts);
    assert_int_equal(step_once(clipping, values, found), flags);
    assert_int_equal(step_once(plain, within, expected), 0);
    assert_memory_equal(found, expected, sizeof found);
    latent_model_close(clipping);
    latent_model_close(plain);
}

static void test_clipped(void **state)
{
    (void)state;
    check_clipped(false, (const float[]){3, 2, 2}, (const float[]){3, 2, 2}, 0);
    check_clipped(false, (const float[]){100, 2, 0}, (const float[]){3, 2, 0},
                  LATENT_INPUT_CLIPPED);
    check_clipped(false, (const float[]){0, 0, 3}, (const float[]){0, 0, 2.5f},
                  LATENT_INPUT_CLIPPED);
    check_clipped(true, (const float[]){-1, 0, -2}, (const float[]){-1, 0, -2}, 0);
    check_clipped(true, (const float[]){-1.5f, 1, 9}, (const float[]){-1, 1, 2.5f},
                  LATENT_INPUT_CLIPPED);
    check_clipped(true, (const float[]){0.5f, -FLT_MAX, 0}, (const float[]){0.5f, 0, 0},
                  LATENT_INPUT_CLIPPED);
}

/* A file that says nothing lets everything through. */
static void test_not_clipped(void **state)
{
    struct model_parts parts = maker_kalman();
    latent_model *m = open_parts(&parts);
    struct latent_info info;
    float latents[2];
    (void)state;
    latent_model_info(m, &info);
    assert_null(info.channel_clip);
    assert_null(info.channel_clip_low);
    assert_int_equal(step_once(m, (const float[]){16777215, 0, 9}, latents), 0);
    assert_true(latents[0] > 16777215.0f);
    latent_model_close(m);
}

static void check_clip_refused(bool real, const char *clip, const char *const *words)
{
    struct model_parts parts = clipping_parts(real, clip);

    check_parts_refused(&parts, LATENT_E_CONFIG, words);
}

static void test_clip_in_the_file(void **state)
{
    (void)state;
    check_clip_refused(false, "\"clip\":[3,2]",
                       (const char *const[]){"\"clip\"", "3 items", "found 2", NULL});
    check_clip_refused(false, "\"clip\":[3,-2,1]",
                       (const char *const[]){"\"clip\"", "item 1", "at least 0", NULL});
    check_clip_refused(false, "\"clip_low\":[0,0,0]",
                       (const char *const[]){"\"clip_low\"", "real", NULL});
    check_clip_refused(true, "\"clip\":[1,2,3],\"clip_low\":[0,0,4]",
                       (const char *const[]){"\"clip_low\"", "item 2", "found 4", NULL});
    check_clip_refused(true, "\"clip\":[1,2,1e39]",
                       (const char *const[]){"\"clip\"", "item 2", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),        cmocka_unit_test(test_decoder),
        cmocka_unit_test(test_file),        cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_line),        cmocka_unit_test(test_clipped),
        cmocka_unit_test(test_not_clipped), cmocka_unit_test(test_clip_in_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
