/* Readouts that stay where they are at rest (positions): the first of the two holds, the second is
 * neutral at 0.5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_trace.h"

enum { MS = 1000000 };

static struct model_parts holding_model(void)
{
    static char config[2048];
    struct model_parts parts = trace_model();
    const char *at = strstr(parts.config, "\"min\":-500");

    assert_non_null(at);
    snprintf(config, sizeof config, "%.*s\"safe\":\"hold\",%s", (int)(at - parts.config),
             parts.config, at);
    parts.config = config;
    return parts;
}

/* Bins of alternating counts until the readout has left neutral. */
static uint64_t open_moving(struct rig *l)
{
    const struct line_options options = trace_options();
    uint64_t seq = 0;

    rig_open(l, holding_model(), NULL, &options);
    assert_true(l->info.readout[0].hold && !l->info.readout[1].hold);
    for (; seq < 12; seq++) {
        l->now_ns += RIG_BIN_NS;
        rig_send(l, 1, seq, 1, 1.0f);
    }
    assert_flags(rig_last(l), 0);
    assert_true(rig_last(l)->readout[0] > 5.0f);
    return seq;
}

/* SAFE by the operator: the one stays, the other goes to neutral, and back they go in a ramp. */
static void test_safe_holds(void **state)
{
    struct rig l;
    float held, before;
    uint64_t seq;
    (void)state;
    seq = open_moving(&l);
    held = rig_last(&l)->readout[0];
    line_safe_on(l.line, l.now_ns);
    for (int i = 0; i < 8; i++) {
        l.now_ns += RIG_BIN_NS;
        rig_send(&l, 1, seq++, 1, 7.0f); /* the decoder moves on */
        assert_flags(rig_last(&l), LATENT_SAFE);
        assert_int_equal(rig_last(&l)->frame.values.n_latents, 0);
        assert_memory_equal(&rig_last(&l)->readout[0], &held, sizeof held);
    }
    assert_float_equal(rig_last(&l)->readout[1], 0.5f, 0.0f);
    line_safe_off(l.line);
    while (l.now_ns += RIG_BIN_NS, rig_send(&l, 1, seq++, 1, 7.0f),
           rig_last(&l)->frame.values.flags & LATENT_SAFE)
        assert_memory_equal(&rig_last(&l)->readout[0], &held, sizeof held);
    before = held;
    for (int left = 5; left > 0; left--) { /* a fifth, a quarter, ... of what is left */
        float now = rig_last(&l)->readout[0], target = 2.0f * rig_last(&l)->latents[0] + 1.0f;
        assert_float_equal(now, before + (target - before) / (float)left, 1e-3f);
        before = now;
        l.now_ns += RIG_BIN_NS;
        rig_send(&l, 1, seq++, 1, 7.0f);
    }
    assert_flags(rig_last(&l), 0);
    rig_close(&l);
}

/* Silence: held frames, SAFE with the lease, and no way to go for the one. */
static void test_silence(void **state)
{
    struct rig l;
    float held;
    (void)state;
    open_moving(&l);
    held = rig_last(&l)->readout[0];
    rig_wait(&l, 400 * (uint64_t)MS);
    assert_flags(rig_last(&l), LATENT_SAFE);
    assert_true(line_is_at_rest(l.line));
    for (size_t i = 12; i < l.n_frames; i++)
        assert_memory_equal(&l.frames[i].readout[0], &held, sizeof held);
    assert_float_equal(rig_last(&l)->readout[1], 0.5f, 0.0f);
    rig_close(&l);
}

/* Consumers whose last frame expired have the one where it was: it leaves from there. */
static void test_expiry(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    float held, target;
    (void)state;
    options.policy.missing_after_ns = options.policy.lease_ns = options.policy.max_age_ns = 0;
    rig_open(&l, holding_model(), NULL, &options);
    for (uint64_t seq = 0; seq < 12; seq++) {
        l.now_ns += RIG_BIN_NS;
        rig_send(&l, 1, seq, 1, 1.0f);
    }
    held = rig_last(&l)->readout[0];
    l.now_ns += 500 * (uint64_t)MS;
    rig_send(&l, 1, 12, 1, 7.0f);
    assert_flags(rig_last(&l), LATENT_LIMITED | LATENT_LATE);
    target = 2.0f * rig_last(&l)->latents[0] + 1.0f;
    assert_float_equal(rig_last(&l)->readout[0], held + (target - held) / 5.0f, 1e-3f);
    rig_close(&l);
}

/* Nothing has been shown yet: neutral. */
static void test_start(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    options.policy.safe_start = true;
    rig_open(&l, holding_model(), NULL, &options);
    rig_send(&l, 1, 0, 1, 1.0f);
    assert_flags(rig_last(&l), LATENT_SAFE);
    assert_float_equal(rig_last(&l)->readout[0], 0.0f, 0.0f);
    rig_close(&l);
}

static void test_word_in_the_file(void **state)
{
    static const char *const words[] = {"\"safe\"", "\"neutral\"", "\"hold\"", "\"stay\"", NULL};
    char config[2048];
    struct model_parts parts = holding_model();
    const char *at = strstr(parts.config, "\"hold\"");
    (void)state;
    snprintf(config, sizeof config, "%.*s\"stay\"%s", (int)(at - parts.config), parts.config,
             at + strlen("\"hold\""));
    parts.config = config;
    check_parts_refused(&parts, LATENT_E_CONFIG, words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safe_holds),       cmocka_unit_test(test_silence),
        cmocka_unit_test(test_expiry),           cmocka_unit_test(test_start),
        cmocka_unit_test(test_word_in_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
