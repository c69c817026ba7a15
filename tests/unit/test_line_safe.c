/* SAFE: how it begins, the way to neutral, and what ends it. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_trace.h"

enum { MS = 1000000 };

static void open_running(struct rig *l, const struct line_options *options)
{
    const struct line_options defaults = trace_options();

    rig_open(l, trace_model(), NULL, options ? options : &defaults);
    rig_send(l, 1, 0, 1, 1.0f);
}

static void send_later(struct rig *l, uint64_t seq)
{
    l->now_ns += 20 * MS;
    rig_send(l, 1, seq, 1, 1.0f);
}

/* Asked at 0: a frame at once, then with each bin; taken back, three good bins that
 * have passed already end it with the next. */
static void test_operator(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    line_safe_on(l.line, l.now_ns);
    for (uint64_t seq = 1; seq <= 6; seq++) send_later(&l, seq);
    assert_trace(&l, 1, "0: 0 SAFE l - r 4", "20: 1 SAFE l - r 3.2", "40: 2 SAFE l - r 2.4",
                 "60: 3 SAFE l - r 1.6", "80: 4 SAFE l - r 0.8", "100: 5 SAFE l - r 0",
                 "120: 6 SAFE l - r 0");
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_OPERATOR);
    assert_int_equal(rig_counter(&l, SEQUENCE_MISSING), 1);
    line_safe_off(l.line);
    send_later(&l, 7);
    send_later(&l, 8);
    assert_trace(&l, 8, "140: 7 SAFE l - r 0", "160: 8 - l 2.99414 r 6.98828");
    rig_close(&l);
}

static void test_operator_before_any_bin(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, trace_model(), NULL, NULL);
    line_safe_on(l.line, l.now_ns);
    rig_wait(&l, 30 * MS);
    assert_trace(&l, 0, "0: 0 SAFE l - r 0", "20: 0 SAFE l - r 0");
    assert_true(line_is_at_rest(l.line));
    rig_close(&l);
}

/* The source falls silent while the ramp runs: neutral at its end all the same. */
static void test_ramp_ends_in_silence(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    line_safe_on(l.line, l.now_ns);
    send_later(&l, 1);
    send_later(&l, 2);
    rig_wait(&l, 100 * MS);
    assert_trace(&l, 4, "100: 2 SAFE l - r 0", "120: 2 SAFE l - r 0", "140: 2 SAFE l - r 0");
    rig_close(&l);
}

/* Three bins in a row; a gap, a bin over the budget, a failure each start anew. */
static void test_exit_counts_bins_in_a_row(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    options.policy.on_late = ON_LATE_HOLD_FRAME;
    open_running(&l, &options);
    rig_send(&l, 1, 1, 1, FLT_MAX); /* SAFE, and a reset */
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_FAILED);
    rig_send(&l, 1, 2, 2, 1.0f); /* two good bins */
    rig_send(&l, 1, 5, 2, 1.0f); /* after a gap: two good bins */
    l.tick_ns = 6 * MS;
    rig_send(&l, 1, 7, 1, 1.0f); /* late */
    l.tick_ns = 0;
    rig_send(&l, 1, 8, 3, 1.0f); /* three */
    for (size_t i = 1; i < l.n_frames; i++)
        assert_int_equal(l.frames[i].frame.values.flags & LATENT_SAFE, LATENT_SAFE);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_RUNNING);
    rig_send(&l, 1, 11, 1, 1.0f);
    assert_flags(rig_last(&l), 0);
    rig_close(&l);
}

static void test_only_the_operator_ends_it(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    options.policy.safe_exit_bins = 0;
    open_running(&l, &options);
    rig_send(&l, 1, 1, 1, FLT_MAX);
    rig_send(&l, 1, 2, 100, 1.0f);
    assert_int_equal(rig_last(&l)->frame.values.flags & LATENT_SAFE, LATENT_SAFE);
    line_safe_off(l.line);
    rig_send(&l, 1, 102, 2, 1.0f);
    assert_flags(rig_last(&l), 0);
    rig_close(&l);
}

/* Bins of a burst after a stall are no sign that all is well. */
static void test_old_bins_do_not_end_it(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    open_running(&l, &options);
    rig_wait(&l, 300 * MS);
    l.tick_ns = 50 * MS;
    rig_send(&l, 1, 1, 20, 1.0f);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_LEASE);
    rig_close(&l);
}

/* Out of SAFE the readout goes back no faster than its slew: 0.51 N a bin. Without
 * counts s1 falls to -2.5, so the grip rises; neutral is 0.5. */
static void test_slew_on_the_way_back(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    options.policy.safe_exit_bins = 1;
    options.policy.safe_ramp_ns = 0;
    rig_open(&l, maker_kalman(), NULL, &options);
    rig_send(&l, 1, 0, 20, 0.0f);
    assert_true(fabsf(rig_last(&l)->readout[1] - 1.5f) < 1e-3f);
    line_safe_on(l.line, l.now_ns);
    assert_true(rig_last(&l)->readout[1] == 0.5f);
    line_safe_off(l.line);
    rig_send(&l, 1, 20, 4, 0.0f);
    assert_true(l.frames[21].readout[1] == 0.5f); /* the good bin that ends it */
    assert_true(fabsf(l.frames[22].readout[1] - 1.01f) < 1e-6f);
    assert_flags(&l.frames[22], LATENT_LIMITED);
    assert_true(fabsf(l.frames[23].readout[1] - 1.5f) < 1e-3f);
    assert_flags(&l.frames[23], 0);
    assert_flags(&l.frames[24], 0);
    rig_close(&l);
}

/* A frame that nobody may act on any more is no place to come back from. */
static void test_expired_readout_is_not_revived(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    l.now_ns += 61 * MS;
    line_safe_on(l.line, l.now_ns);
    assert_trace(&l, 1, "61: 0 SAFE l - r 0");
    rig_close(&l);
}

/* The lease is that of decoded bins: others do not prolong it. */
static void test_lease_needs_decoded_bins(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    for (int i = 0; i < 20; i++) {
        rig_wait(&l, 10 * MS);
        rig_send(&l, 1, 0, 1, 1.0f);   /* again */
        rig_send(&l, 1, 1, 1, NAN);    /* not a number */
        rig_send_bytes(&l, "\xff", 1); /* nothing at all */
        line_refuse_parts(l.line);
    }
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_LEASE);
    assert_true(rig_last(&l)->readout[0] == 0.0f);
    assert_int_equal(rig_last(&l)->frame.t_publish_ns, 1200 * (uint64_t)MS);
    rig_close(&l);
}

/* A ramp that is not a multiple of the bin: there is a frame at its end. */
static void test_lease_ends_between_bins(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    options.policy.lease_ns = 115 * MS;
    options.policy.safe_ramp_ns = 50 * MS;
    open_running(&l, &options);
    rig_wait(&l, 140 * MS);
    assert_trace(&l, 1, "60: 0 HELD l 1.5 r 4", "65: 0 SAFE l - r 3.63636",
                 "85: 0 SAFE l - r 2.18182", "105: 0 SAFE l - r 0.727273", "115: 0 SAFE l - r 0",
                 "135: 0 SAFE l - r 0");
    rig_close(&l);
}

static void test_stop_comes_to_rest(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    line_stop(l.line, l.now_ns);
    assert_false(line_is_at_rest(l.line));
    rig_wait(&l, 99 * MS);
    assert_false(line_is_at_rest(l.line));
    rig_wait(&l, 1 * MS);
    assert_true(line_is_at_rest(l.line));
    assert_true(rig_last(&l)->readout[0] == 0.0f);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_STOPPING);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operator),
        cmocka_unit_test(test_operator_before_any_bin),
        cmocka_unit_test(test_ramp_ends_in_silence),
        cmocka_unit_test(test_exit_counts_bins_in_a_row),
        cmocka_unit_test(test_only_the_operator_ends_it),
        cmocka_unit_test(test_old_bins_do_not_end_it),
        cmocka_unit_test(test_slew_on_the_way_back),
        cmocka_unit_test(test_expired_readout_is_not_revived),
        cmocka_unit_test(test_lease_needs_decoded_bins),
        cmocka_unit_test(test_lease_ends_between_bins),
        cmocka_unit_test(test_stop_comes_to_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
