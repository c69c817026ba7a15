/* Bins that come with nothing in them. Training had at most 3 bins of silence and 5 equal ones in a
 * row, so 13 (250 ms) and 15 are too many; 5 more leave the ramp its time in the lease. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_trace.h"

enum { SILENCE = 13, REPEAT = 15, NOT_SAID = 50, LEASE = 5, EXIT = 3 };

static struct line_options signal_options(enum line_on_silent on_silent)
{
    struct line_options options = trace_options();

    options.policy.on_silent = on_silent;
    return options;
}

/* So many bins, each at its time; alternating: every other one is a count higher. */
static uint64_t send(struct rig *l, uint64_t seq, uint64_t n, float count, bool alternating)
{
    for (uint64_t i = 0; i < n; i++, seq++) {
        l->now_ns += RIG_BIN_NS;
        rig_send(l, 1, seq, 1, alternating ? count + (float)(i % 2) : count);
    }
    return seq;
}

/* The first of n frames of equal bins with this flag; n: none. */
static uint64_t first_flagged(const struct rig *l, uint64_t n, uint32_t flag)
{
    for (uint64_t i = 0; i < n; i++)
        if (l->frames[l->n_frames - n + i].frame.values.flags & flag) return i;
    return n;
}

static void open_signal(struct rig *l, struct model_parts parts, enum line_on_silent on_silent)
{
    const struct line_options options = signal_options(on_silent);

    rig_open(l, parts, NULL, &options);
    send(l, 0, 20, 1.0f, true);
}

static void check_too_many(float count, uint64_t limit)
{
    struct rig l;

    open_signal(&l, trace_model(), ON_SILENT_SAFE);
    send(&l, 20, 40, count, false);
    assert_int_equal(first_flagged(&l, 40, LATENT_NO_SIGNAL), limit - 1);
    assert_int_equal(first_flagged(&l, 40, LATENT_SAFE), limit - 1 + LEASE);
    assert_flags(rig_last(&l), LATENT_SAFE | LATENT_NO_SIGNAL);
    assert_float_equal(rig_last(&l)->readout[0], 0.0f, 0.0f);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_SIGNAL);
    assert_int_equal(rig_counter(&l, FLAGS_FIRST + __builtin_ctz(LATENT_NO_SIGNAL)),
                     40 - limit + 1);
    rig_close(&l);
}

static void test_silence(void **state)
{
    (void)state;
    check_too_many(0.0f, SILENCE);
}

static void test_stuck_buffer(void **state)
{
    (void)state;
    check_too_many(4.0f, REPEAT);
}

/* Neutral a lease after the flag, by the clock too. */
static void test_neutral_after_a_lease(void **state)
{
    struct rig l;
    (void)state;
    open_signal(&l, trace_model(), ON_SILENT_SAFE);
    send(&l, 20, SILENCE, 0.0f, false);
    assert_flags(rig_last(&l), LATENT_NO_SIGNAL);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_NO_SIGNAL);
    send(&l, 20 + SILENCE, 9, 0.0f, false);
    assert_true(rig_last(&l)->readout[0] > 0.0f);
    send(&l, 20 + SILENCE + 9, 1, 0.0f, false);
    assert_float_equal(rig_last(&l)->readout[0], 0.0f, 0.0f);
    rig_close(&l);
}

/* One bin that differs ends it; SAFE stays until as many good bins came as end it. */
static void test_signal_comes_back(void **state)
{
    struct rig l;
    uint64_t seq;
    (void)state;
    open_signal(&l, trace_model(), ON_SILENT_SAFE);
    seq = send(&l, 20, 40, 0.0f, false);
    seq = send(&l, seq, EXIT, 1.0f, true);
    assert_flags(rig_last(&l), LATENT_SAFE);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_SIGNAL);
    seq = send(&l, seq, 2, 1.0f, true);
    assert_flags(rig_last(&l), LATENT_LIMITED);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_RUNNING);
    send(&l, seq, SILENCE - 1, 0.0f, false);
    assert_int_equal(first_flagged(&l, SILENCE - 1, LATENT_NO_SIGNAL), SILENCE - 1);
    rig_close(&l);
}

static void test_flag_alone(void **state)
{
    struct rig l;
    (void)state;
    open_signal(&l, trace_model(), ON_SILENT_FLAG);
    send(&l, 20, 200, 0.0f, false);
    assert_int_equal(first_flagged(&l, 200, LATENT_NO_SIGNAL), SILENCE - 1);
    assert_flags(rig_last(&l), LATENT_NO_SIGNAL);
    assert_int_equal(rig_last(&l)->frame.values.n_latents, 2);
    line_safe_on(l.line, l.now_ns);
    line_safe_off(l.line);
    send(&l, 220, EXIT + 2, 0.0f, false); /* what is normal here ends SAFE */
    assert_flags(rig_last(&l), LATENT_LIMITED | LATENT_NO_SIGNAL);
    rig_close(&l);
}

/* SAFE for another reason is not left while nothing comes. */
static void test_no_way_out_of_safe(void **state)
{
    struct rig l;
    (void)state;
    open_signal(&l, trace_model(), ON_SILENT_SAFE);
    send(&l, 20, SILENCE, 0.0f, false);
    line_safe_on(l.line, l.now_ns);
    line_safe_off(l.line);
    send(&l, 20 + SILENCE, 100, 0.0f, false);
    assert_flags(rig_last(&l), LATENT_SAFE | LATENT_NO_SIGNAL);
    rig_close(&l);
}

/* What is missing says nothing: it neither counts nor starts the count again. */
static void test_missing_bins_between(void **state)
{
    struct rig l;
    (void)state;
    open_signal(&l, trace_model(), ON_SILENT_SAFE);
    for (uint64_t i = 0; i < SILENCE; i++) {
        l.now_ns += 2 * RIG_BIN_NS;
        rig_send(&l, 1, 21 + 2 * i, 1, 0.0f);
        assert_flags(rig_last(&l), LATENT_GAP | (i + 1 < SILENCE ? 0 : LATENT_NO_SIGNAL));
    }
    rig_close(&l);
}

/* A lost source is another matter: its frames are held, without the flag, until SAFE. */
static void test_no_bins_at_all(void **state)
{
    struct rig l;
    (void)state;
    open_signal(&l, trace_model(), ON_SILENT_SAFE);
    rig_wait(&l, 40 * (uint64_t)RIG_BIN_NS);
    assert_flags(rig_last(&l), LATENT_SAFE);
    assert_int_equal(rig_counter(&l, FLAGS_FIRST + __builtin_ctz(LATENT_NO_SIGNAL)), 0);
    rig_close(&l);
}

static struct model_parts changed(const char *from, const char *to)
{
    static char config[2048];
    struct model_parts parts = trace_model();
    const char *at = strstr(parts.config, from);

    assert_non_null(at);
    snprintf(config, sizeof config, "%.*s%s%s", (int)(at - parts.config), parts.config, to,
             at + strlen(from));
    parts.config = config;
    return parts;
}

/* A model that does not say: a second. */
static void test_without_statistics(void **state)
{
    struct rig l;
    (void)state;
    open_signal(&l, changed(",\"longest_silence\":3,\"longest_repeat\":5", ""), ON_SILENT_FLAG);
    send(&l, 20, 2 * NOT_SAID, 0.0f, false);
    assert_int_equal(first_flagged(&l, 2 * NOT_SAID, LATENT_NO_SIGNAL), NOT_SAID - 1);
    send(&l, 20 + 2 * NOT_SAID, 2 * NOT_SAID, 3.0f, false);
    assert_int_equal(first_flagged(&l, 2 * NOT_SAID, LATENT_NO_SIGNAL), NOT_SAID - 1);
    rig_close(&l);
}

/* As long as in training, three times. */
static void test_long_silence_in_training(void **state)
{
    struct rig l;
    (void)state;
    open_signal(&l, changed("\"longest_silence\":3", "\"longest_silence\":30"), ON_SILENT_FLAG);
    send(&l, 20, 100, 0.0f, false);
    assert_int_equal(first_flagged(&l, 100, LATENT_NO_SIGNAL), 89);
    rig_close(&l);
}

/* Zero is a value like any other. */
static void test_real_input(void **state)
{
    struct rig l;
    (void)state;
    open_signal(&l, changed("\"arch\"", "\"input\":\"real\",\"arch\""), ON_SILENT_FLAG);
    send(&l, 20, 40, 0.0f, false);
    assert_int_equal(first_flagged(&l, 40, LATENT_NO_SIGNAL), REPEAT - 1);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_stuck_buffer),
        cmocka_unit_test(test_neutral_after_a_lease),
        cmocka_unit_test(test_signal_comes_back),
        cmocka_unit_test(test_flag_alone),
        cmocka_unit_test(test_no_way_out_of_safe),
        cmocka_unit_test(test_missing_bins_between),
        cmocka_unit_test(test_no_bins_at_all),
        cmocka_unit_test(test_without_statistics),
        cmocka_unit_test(test_long_silence_in_training),
        cmocka_unit_test(test_real_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
