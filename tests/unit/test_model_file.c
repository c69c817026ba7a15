/* Opening model files: what a sound one tells, and every mistake in latent.config. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "latent.h"
#include "model_maker.h"

static void check_kalman_info(const struct latent_info *info)
{
    assert_string_equal(info->arch, "kalman");
    assert_string_equal(info->licence, "CC0-1.0");
    assert_string_equal(info->source, "a unit test");
    assert_string_equal(info->config, maker_kalman().config);
    assert_null(info->checked);
    assert_int_equal(info->n_channels, 3);
    assert_int_equal(info->bin_width_us, 20000);
    assert_int_equal(info->n_latents, 2);
    assert_int_equal(info->n_rates, 0);
    assert_int_equal(info->n_readout, 2);
    assert_int_equal(info->trial_bins, 0);
    assert_int_equal(info->n_modes, 1);
    assert_string_equal(info->modes[0].name, "causal");
    assert_int_equal(info->n_precisions, 1);
    assert_string_equal(info->precisions[0], "f32");
    assert_int_equal(info->n_tensors, 5);
    assert_int_equal(info->weight_bytes, 8 * (4 + 6 + 2 + 4 + 2));
    assert_string_equal(info->channel_names[2], "c");
    assert_true(info->channel_mean[1] == 1.5f);
    assert_true(info->channel_variance[1] == 2.0f);
}

static void check_kalman_readout(const struct latent_readout *r)
{
    assert_string_equal(r[0].name, "vx");
    assert_string_equal(r[0].unit, "mm/s");
    assert_true(r[0].neutral == 0.0f && r[0].min == -500.0f && r[0].max == 500.0f);
    assert_true(isinf(r[0].slew) && r[0].slew > 0.0f);
    assert_string_equal(r[1].name, "grip");
    assert_true(r[1].neutral == 0.5f && r[1].slew == 25.5f);
    assert_true(isinf(r[1].min) && r[1].min < 0.0f && isinf(r[1].max) && r[1].max > 0.0f);
}

static void test_sound_file_tells_all(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_kalman();
    struct file_bytes file = maker_file(&parts);
    char path[] = "/tmp/test_model_file_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, file.bytes, file.n), file.n);
    close(fd);

    latent_model *m;
    struct latent_error err;
    assert_int_equal(latent_model_open(&m, path, &err), 0);
    unlink(path);
    struct safetensors st;
    assert_int_equal(safetensors_parse(&st, file.bytes, file.n, NULL), 0);
    struct latent_info info;
    latent_model_info(m, &info);
    check_kalman_info(&info);
    check_kalman_readout(info.readout);
    assert_string_equal(info.path, path);
    assert_memory_equal(info.sha256, st.sha256, sizeof st.sha256);
    const struct arena *memory = &m->memory[PRECISION_F32];
    assert_int_equal(memory->used, memory->size);
    safetensors_close(&st);
    latent_model_close(m);
    latent_model_close(NULL);
    free(file.bytes);
}

static void test_modes_keep_the_order_of_the_file(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_ndt();
    struct file_bytes file = maker_file(&parts);
    latent_model *m;
    struct latent_error err = {0};
    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    assert_int_equal(m->info.n_modes, 3);
    assert_string_equal(m->info.modes[0].name, "C");
    assert_string_equal(m->info.modes[1].name, "trial");
    assert_int_equal(m->info.modes[1].offline, 1);
    assert_string_equal(m->info.modes[2].name, "A");
    assert_int_equal(m->info.modes[2].aligned, 1);
    assert_int_equal(m->info.trial_bins, 3);
    assert_string_equal(m->ops->modes[model_mode(m, NULL)].name, "C");
    assert_string_equal(m->ops->modes[model_mode(m, "A")].name, "A");
    assert_int_equal(model_mode(m, "B"), -1);
    assert_true(model_has_precision(m, NULL));
    assert_true(model_has_precision(m, "f32"));
    assert_false(model_has_precision(m, "bf16"));
    latent_model_close(m);
    free(file.bytes);
}

/* A mode of the build that the file does not list is not offered. */
static void test_unlisted_mode_is_not_offered(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_ndt();
    char *config = text_replace(parts.config, "[\"C\",\"trial\",\"A\"]", "[\"C\"]");
    parts.config = config;
    static const char *const others[] = {"selftest.A.latents", "selftest.A.lograte",
                                         "selftest.trial.latents", "selftest.trial.lograte"};
    for (size_t i = 0; i < 4; i++) maker_remove(&parts, others[i]);
    struct file_bytes file = maker_file(&parts);
    latent_model *m;
    struct latent_error err = {0};
    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    assert_int_equal(model_mode(m, "A"), -1);
    assert_true(model_mode(m, "C") >= 0);
    latent_model_close(m);
    free(file.bytes);
    free(config);
}

static void test_channels_may_be_absent(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_gru();
    struct file_bytes file = maker_file(&parts);
    latent_model *m;
    struct latent_error err = {0};
    if (model_open_bytes(&m, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    assert_null(m->info.channel_names);
    assert_null(m->info.channel_mean);
    assert_null(m->info.channel_variance);
    assert_null(m->dims.channel_mean);
    latent_model_close(m);
    free(file.bytes);
}

static void test_error_names_the_file(void **unused)
{
    (void)unused;
    latent_model *m = (latent_model *)1;
    struct latent_error err;
    assert_int_equal(latent_model_open(&m, "/nowhere/m.safetensors", &err), LATENT_E_IO);
    assert_null(m);
    assert_string_equal(err.text,
                        "/nowhere/m.safetensors: cannot be opened: No such file or directory");
    assert_int_equal(latent_model_open(&m, "/nowhere", NULL), LATENT_E_IO);

    char path[400];
    snprintf(path, sizeof path, "/nowhere/%0350d/m.safetensors", 0);
    assert_int_equal(latent_model_open(&m, path, &err), LATENT_E_IO);
    assert_text_has(err.text, WORDS("...000", "000/m.safetensors: cannot be opened: "));
    assert_null(strstr(err.text, "/nowhere"));
}

/* Every key, at every level, set to `value` (NULL: removed): the text must name it. */
static void check_each_key(const char *level, const char *optional, json_t *(*place)(json_t *),
                           const char *value)
{
    struct model_parts parts = maker_kalman();
    json_t *sound = json_loads(parts.config, 0, NULL);
    const char *key;
    json_t *ignored;
    json_object_foreach(place(sound), key, ignored)
    {
        if (optional && strstr(optional, key) && !value) continue;
        json_t *damaged = json_loads(parts.config, 0, NULL);
        if (value)
            json_object_set_new(place(damaged), key, json_loads(value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(place(damaged), key);
        char *text = json_dumps(damaged, JSON_COMPACT), quoted[64];
        parts.config = text;
        snprintf(quoted, sizeof quoted, "\"%s\"", key);
        check_parts_refused(&parts, LATENT_E_CONFIG,
                            WORDS(level, quoted, "expected", value ? "expected" : "is missing"));
        free(text);
        json_decref(damaged);
        parts = maker_kalman();
    }
    json_decref(sound);
}

static json_t *root_of(json_t *config)
{
    return config;
}

static json_t *hyper_of(json_t *config)
{
    return json_object_get(config, "hyper");
}

static json_t *outputs_of(json_t *config)
{
    return json_object_get(config, "outputs");
}

static json_t *dimension_of(json_t *config)
{
    return json_array_get(json_object_get(outputs_of(config), "readout"), 1);
}

static json_t *channels_of(json_t *config)
{
    return json_object_get(config, "channels");
}

static void test_each_key_missing(void **unused)
{
    (void)unused;
    check_each_key("latent.config: ", "channels", root_of, NULL);
    check_each_key("latent.config.hyper: ", NULL, hyper_of, NULL);
    check_each_key("latent.config.outputs: ", NULL, outputs_of, NULL);
    check_each_key("latent.config.outputs.readout[1]: ", NULL, dimension_of, NULL);
}

/* A list that holds a list is right for no key. */
static void test_each_key_of_the_wrong_kind(void **unused)
{
    (void)unused;
    check_each_key("latent.config: ", NULL, root_of, "[[]]");
    check_each_key("latent.config.hyper: ", NULL, hyper_of, "[[]]");
    check_each_key("latent.config.outputs", NULL, outputs_of, "{}");
    check_each_key("latent.config.outputs.readout[1]: ", NULL, dimension_of, "[[]]");
    check_each_key("latent.config.channels: ", NULL, channels_of, "[[],[],[]]");
}

static void test_unknown_key_at_each_level(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_kalman();
    check_config_refused(&parts, "{\"format\"", "{\"modez\":1,\"format\"", LATENT_E_CONFIG,
                         WORDS("latent.config: unknown key \"modez\"", "\"modes\""));
    check_config_refused(&parts, "{\"form\"", "{\"forms\":1,\"form\"", LATENT_E_CONFIG,
                         WORDS("latent.config.hyper: unknown key \"forms\"", "\"form\""));
    check_config_refused(&parts, "{\"latents\"", "{\"rate\":1,\"latents\"", LATENT_E_CONFIG,
                         WORDS("latent.config.outputs: unknown key \"rate\"", "\"rates\""));
    check_config_refused(&parts, "{\"name\":\"grip\"", "{\"nuetral\":1,\"name\":\"grip\"",
                         LATENT_E_CONFIG,
                         WORDS("readout[1]: unknown key \"nuetral\"", "\"neutral\""));
    check_config_refused(
        &parts, "{\"names\"", "{\"variances\":1,\"names\"", LATENT_E_CONFIG,
        WORDS("latent.config.channels: unknown key \"variances\"", "\"variance\""));
}

/* A change of the configuration and what must be said of it. */
struct change {
    const char *from, *to;
    int status;
    const char *words[4];
};

static const struct change changes[] = {
    {"\"format\":1", "\"format\":2", LATENT_E_CONFIG, {"\"format\"", "expected 1", "found 2"}},
    {"\"kalman\"", "\"rnn\"", LATENT_E_UNSUPPORTED, {"\"arch\"", "kalman, ", "found \"rnn\""}},
    {"\"n_channels\":3", "\"n_channels\":0", LATENT_E_CONFIG, {"\"n_channels\"", "1 to 65536"}},
    {"\"n_channels\":3",
     "\"n_channels\":65537",
     LATENT_E_CONFIG,
     {"\"n_channels\"", "found 65537"}},
    {"20000", "99", LATENT_E_CONFIG, {"\"bin_width_us\"", "100 to 10000000", "found 99"}},
    {"20000", "10000001", LATENT_E_CONFIG, {"\"bin_width_us\"", "found 10000001"}},
    {"[\"causal\"]", "[]", LATENT_E_CONFIG, {"\"modes\"", "1 to 16 items", "found 0"}},
    {"[\"causal\"]",
     "[\"B\"]",
     LATENT_E_UNSUPPORTED,
     {"\"modes\"", "offers (causal)", "found \"B\""}},
    {"[\"causal\"]", "[\"causal\",\"A\"]", LATENT_E_UNSUPPORTED, {"\"modes\"", "found \"A\""}},
    {"[\"causal\"]", "[\"causal\",\"causal\"]", LATENT_E_CONFIG, {"\"modes\"", "\"causal\" twice"}},
    {"[\"causal\"]", "[\"causal\",3]", LATENT_E_CONFIG, {"\"modes\"", "item 1", "string"}},
    {"[\"f32\"]", "[]", LATENT_E_CONFIG, {"\"precisions\"", "found 0"}},
    {"[\"f32\"]",
     "[\"f32\",\"bf16\"]",
     LATENT_E_UNSUPPORTED,
     {"\"precisions\"", "(f32)", "\"bf16\""}},
    {"[\"f32\"]", "[\"int8\"]", LATENT_E_UNSUPPORTED, {"\"precisions\"", "(f32)", "\"int8\""}},
    {"[\"f32\"]", "[\"f16\"]", LATENT_E_CONFIG, {"\"precisions\"", "\"int8\"", "found \"f16\""}},
    {"\"given\"",
     "\"gives\"",
     LATENT_E_CONFIG,
     {"hyper: \"form\"", "\"given\"", "found \"gives\""}},
    {"\"latents\":2",
     "\"latents\":3",
     LATENT_E_CONFIG,
     {"outputs: \"latents\"", "expected 2", "found 3"}},
    {"\"latents\":2", "\"latents\":-1", LATENT_E_CONFIG, {"outputs: \"latents\"", "found -1"}},
    {"\"rates\":0",
     "\"rates\":3",
     LATENT_E_CONFIG,
     {"outputs: \"rates\"", "expected 0", "found 3"}},
    {"{\"name\":\"vx\"", "1,{\"name\":\"vx\"", LATENT_E_CONFIG, {"readout[0]", "object"}},
    {"\"name\":\"vx\"", "\"name\":\"\"", LATENT_E_CONFIG, {"readout[0]: \"name\"", "1 to 64"}},
    {"\"name\":\"vx\"",
     "\"name\":\"v\\u001b[2J\"",
     LATENT_E_CONFIG,
     {"readout[0]: \"name\"", "control"}},
    {"\"name\":\"vx\"",
     "\"name\":\"v\\u0085\"",
     LATENT_E_CONFIG,
     {"readout[0]: \"name\"", "control"}},
    {"\"name\":\"vx\"", "\"name\":\"grip\"", LATENT_E_CONFIG, {"\"readout\"", "\"grip\" twice"}},
    {"\"neutral\":0,",
     "\"neutral\":501,",
     LATENT_E_CONFIG,
     {"readout[0]: \"neutral\"", "-500 to 500", "found 501"}},
    {"\"neutral\":0,",
     "\"neutral\":1e39,",
     LATENT_E_CONFIG,
     {"readout[0]: \"neutral\"", "found 1"}},
    {"\"neutral\":0,",
     "\"neutral\":null,",
     LATENT_E_CONFIG,
     {"readout[0]: \"neutral\"", "found null"}},
    {"\"min\":-500",
     "\"min\":500",
     LATENT_E_CONFIG,
     {"readout[0]: \"min\"", "less than", "found 500"}},
    {"\"slew\":25.5",
     "\"slew\":0",
     LATENT_E_CONFIG,
     {"readout[1]: \"slew\"", "more than 0", "found 0"}},
    {"\"slew\":25.5", "\"slew\":-1", LATENT_E_CONFIG, {"readout[1]: \"slew\"", "found -1"}},
    {"\"CC0-1.0\"", "\"\"", LATENT_E_CONFIG, {"\"licence\"", "found \"\""}},
    {"\"licence\"", "\"checked\":\"\",\"licence\"", LATENT_E_CONFIG, {"\"checked\"", "found \"\""}},
    {"\"licence\"", "\"checked\":1,\"licence\"", LATENT_E_CONFIG, {"\"checked\"", "found 1"}},
    {"a unit test", "a\\nunit", LATENT_E_CONFIG, {"\"source\"", "control"}},
    {"0123456789abcdef\"",
     "0123456789abcde\"",
     LATENT_E_CONFIG,
     {"\"checkpoint_sha256\"", "64 hex"}},
    {"0123456789abcdef\"",
     "0123456789abcdeg\"",
     LATENT_E_CONFIG,
     {"\"checkpoint_sha256\"", "64 hex"}},
    {"0123456789abcdef\"",
     "0123456789abcdef0\"",
     LATENT_E_CONFIG,
     {"\"checkpoint_sha256\"", "64 hex"}},
    {"[\"a\",\"b\",\"c\"]", "[\"a\",\"b\"]", LATENT_E_CONFIG, {"\"names\"", "3 items", "found 2"}},
    {"[\"a\",\"b\",\"c\"]", "[\"a\",\"b\",\"a\"]", LATENT_E_CONFIG, {"\"names\"", "\"a\" twice"}},
    {"[\"a\",\"b\",\"c\"]", "[\"a\",\"b\",null]", LATENT_E_CONFIG, {"\"names\"", "item 2"}},
    {"[1,1.5,0.75]", "[1,1.5,0.75,1]", LATENT_E_CONFIG, {"\"mean\"", "3 items", "found 4"}},
    {"[1,1.5,0.75]", "[1,-1.5,0.75]", LATENT_E_CONFIG, {"\"mean\"", "item 1", "at least 0"}},
    {"[1,1.5,0.75]", "[1,1.5,1e39]", LATENT_E_CONFIG, {"\"mean\"", "item 2"}},
    {"[1,2,0]", "[1,2,\"0\"]", LATENT_E_CONFIG, {"\"variance\"", "item 2"}},
    {"\"arch\":\"kalman\"",
     "\"arch\":\"kalman\",\"arch\":\"gru\"",
     LATENT_E_CONFIG,
     {"latent.config", "duplicate"}},
    {"{\"format\":1", "[{\"format\":1", LATENT_E_CONFIG, {"latent.config", "JSON object"}},
    {"\"bin_width_us\":20000",
     "\"bin_width_us\":1e400",
     LATENT_E_CONFIG,
     {"latent.config", "JSON"}},
};

static void test_each_mistake_in_the_configuration(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_kalman();
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const struct change *c = &changes[i];
        const char *words[5] = {c->words[0], c->words[1], c->words[2], c->words[3], NULL};
        check_config_refused(&parts, c->from, c->to, c->status, words);
    }
}

static void test_model_without_outputs(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_gru();
    check_config_refused(&parts, "\"latents\":2,\"rates\":3", "\"latents\":0,\"rates\":0",
                         LATENT_E_CONFIG, WORDS("latent.config.outputs", "found none"));
}

static void test_no_configuration_at_all(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_kalman();
    parts.config = NULL;
    check_parts_refused(&parts, LATENT_E_CONFIG,
                        WORDS("latent.config", "__metadata__", "found none", "export"));
    parts.config = "[]";
    check_parts_refused(&parts, LATENT_E_CONFIG, WORDS("latent.config", "object", "a list"));
    parts.config = "";
    check_parts_refused(&parts, LATENT_E_CONFIG, WORDS("latent.config", "object"));
}

/* Known to the build, ruled out by this file: A cannot look ahead. */
static void test_mode_that_the_model_cannot_run(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_ndt();
    check_config_refused(&parts, "\"context_forward\":0", "\"context_forward\":1",
                         LATENT_E_UNSUPPORTED,
                         WORDS("\"modes\"", "found \"A\"", "context_forward"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_file_tells_all),
        cmocka_unit_test(test_modes_keep_the_order_of_the_file),
        cmocka_unit_test(test_unlisted_mode_is_not_offered),
        cmocka_unit_test(test_channels_may_be_absent),
        cmocka_unit_test(test_error_names_the_file),
        cmocka_unit_test(test_each_key_missing),
        cmocka_unit_test(test_each_key_of_the_wrong_kind),
        cmocka_unit_test(test_unknown_key_at_each_level),
        cmocka_unit_test(test_each_mistake_in_the_configuration),
        cmocka_unit_test(test_model_without_outputs),
        cmocka_unit_test(test_no_configuration_at_all),
        cmocka_unit_test(test_mode_that_the_model_cannot_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
