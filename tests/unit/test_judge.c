/* What a consumer may act on, by the C client: the vectors of judge_vectors.json, whose
 * meaning tests/unit/README.md has. test_judge.py runs the same by the Python client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "judge.h"

#define MAX_VALUES 4
#define START_NS INT64_C(4000000000000)

static int64_t nanoseconds(json_t *object, const char *key, double otherwise)
{
    json_t *value = json_object_get(object, key);
    return llround((value ? json_number_value(value) : otherwise) * 1e6);
}

static float number(json_t *value, float otherwise)
{
    if (!value) return otherwise;
    return json_is_string(value) ? strtof(json_string_value(value), NULL)
                                 : (float)json_number_value(value);
}

static uint64_t whole(json_t *object, const char *key, uint64_t otherwise)
{
    json_t *value = json_object_get(object, key);
    return value ? (uint64_t)json_integer_value(value) : otherwise;
}

static char *text(json_t *object, const char *key, const char *otherwise)
{
    json_t *value = json_object_get(object, key);
    return (char *)(value ? json_string_value(value) : otherwise);
}

static int give_info(struct judge *j, json_t *info)
{
    json_t *without = json_pack("[{}]"), *readout = json_object_get(info, "readout");
    Latent__V1__ReadoutInfo fields[MAX_VALUES], *pointers[MAX_VALUES];
    Latent__V1__Info m = LATENT__V1__INFO__INIT;
    uint8_t bytes[1024];
    int status;

    if (!readout) readout = without;
    m.decoder_id = whole(info, "decoder", 1);
    m.n_readout = json_array_size(readout);
    m.readout = pointers;
    for (size_t i = 0; i < m.n_readout; i++) {
        json_t *from = json_array_get(readout, i);
        Latent__V1__ReadoutInfo *r = pointers[i] = &fields[i];

        latent__v1__readout_info__init(r);
        r->name = text(from, "name", "x");
        r->unit = text(from, "unit", "mm");
        r->neutral = number(json_object_get(from, "neutral"), 0);
        r->min = number(json_object_get(from, "min"), -100);
        r->max = number(json_object_get(from, "max"), 100);
        r->slew = number(json_object_get(from, "slew"), 1000);
        r->hold = json_is_true(json_object_get(from, "hold"));
    }
    status = judge_on_info(j, bytes, latent__v1__info__pack(&m, bytes));
    json_decref(without);
    return status;
}

static void give_frame(struct judge *j, json_t *frame, int64_t at_ns)
{
    static float values[2][MAX_VALUES]; /* of the newest frame, and of the one before */
    static size_t which;
    json_t *readout = json_object_get(frame, "readout"), *drift = json_object_get(frame, "drift");
    int64_t drifted_ns = (at_ns - START_NS) / 1000000 * json_integer_value(drift);
    float *to = values[which++ % 2];
    struct wire_frame f = {
        .clock_id = whole(frame, "clock", 1),
        .t_publish_ns = (uint64_t)(at_ns + nanoseconds(frame, "ahead", 0) -
                                   nanoseconds(frame, "late", 0) + drifted_ns),
        .valid_for_ns = (uint64_t)nanoseconds(frame, "valid_for", 60),
        .decoder_id = whole(frame, "decoder", 1),
        .values = {.flags = (uint32_t)whole(frame, "flags", 0), .n_readout = 1, .readout = to}};

    to[0] = 3;
    if (readout) f.values.n_readout = (uint32_t)json_array_size(readout);
    for (size_t i = 0; readout && i < f.values.n_readout; i++)
        to[i] = number(json_array_get(readout, i), 0);
    judge_on_frame(j, &f, at_ns);
}

static void check_want(struct judge *j, json_t *want, const char *why, int64_t at_ns)
{
    struct latent_client_readout r;

    if (json_is_null(want)) {
        assert_int_equal(judge_readout(j, at_ns, &r), 0);
        return;
    }
    assert_int_equal(judge_readout(j, at_ns, &r), 1);
    if (!why && r.reason) fail_msg("not fresh: %s", r.reason);
    if (why && !(r.reason && strstr(r.reason, why)))
        fail_msg("\"%s\", expected: \"%s\"", r.reason ? r.reason : "fresh", why);
    assert_int_equal(r.n, json_array_size(want));
    for (size_t i = 0; i < r.n; i++)
        assert_float_equal(r.values[i], number(json_array_get(want, i), 0), 0);
}

static void run_step(struct judge *j, json_t *step)
{
    json_t *info = json_object_get(step, "info"), *frame = json_object_get(step, "frame");
    json_t *want = json_object_get(step, "want");
    int64_t at_ns = nanoseconds(step, "at", 0) + START_NS;
    int64_t every_ns = nanoseconds(step, "every", 0);

    if (info)
        assert_int_equal(give_info(j, info),
                         json_is_true(json_object_get(step, "refused")) ? -1 : 0);
    for (uint64_t i = 0; frame && i < whole(step, "repeat", 1); i++)
        give_frame(j, frame, at_ns + (int64_t)i * every_ns);
    if (want) check_want(j, want, text(step, "why", NULL), at_ns);
}

static void test_vectors(void **state)
{
    json_error_t error;
    json_t *all = json_load_file(JUDGE_VECTORS, 0, &error);
    json_t *cases = json_object_get(all, "cases"), *one, *step;
    size_t i, k;

    (void)state;
    if (!all) fail_msg("%s:%d: %s", JUDGE_VECTORS, error.line, error.text);
    assert_true(json_array_size(cases) > 20);
    json_array_foreach(cases, i, one)
    {
        json_t *steps = json_object_get(one, "steps");
        struct judge j;

        judge_open(&j, 1);
        json_array_foreach(steps, k, step)
        {
            print_message("%s, step %zu\n", json_string_value(json_object_get(one, "name")), k);
            run_step(&j, step);
        }
        judge_close(&j);
    }
    json_decref(all);
}

static void test_not_an_info(void **state)
{
    struct judge j;

    (void)state;
    judge_open(&j, 1);
    assert_int_equal(judge_on_info(&j, "\x0a\xff", 2), -1);
    judge_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_not_an_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
