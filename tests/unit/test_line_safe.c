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

/* Asked at 0: a frame at once, then with each bin; taken back, the good bins that have passed
 * already end it with the next. The way back takes as long as the ramp, a fifth of it each bin. */
static void test_operator(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    line_safe_on(l.line, l.now_ns);
    for (uint64_t seq = 1; seq <= 6; seq++) send_later(&l, seq);
    assert_trace(&l, 1, "0: 0 SAFE l - r 0.8", "20: 1 SAFE l - r 0.64", "40: 2 SAFE l - r 0.48",
                 "60: 3 SAFE l - r 0.32", "80: 4 SAFE l - r 0.16", "100: 5 SAFE l - r 0",
                 "120: 6 SAFE l - r 0");
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_OPERATOR);
    assert_int_equal(rig_counter(&l, SEQUENCE_MISSING), 1);
    line_safe_off(l.line);
    send_later(&l, 7);
    for (uint64_t seq = 8; seq <= 13; seq++) send_later(&l, seq);
    assert_trace(&l, 8, "140: 7 SAFE l - r 0", "160: 8 LIMITED l 2.99414 r 1.39766",
                 "180: 9 LIMITED l 2.99707 r 2.79648", "200: 10 LIMITED l 2.99854 r 4.1959",
                 "220: 11 LIMITED l 2.99927 r 5.5956", "240: 12 LIMITED l 2.99963 r 6.99546",
                 "260: 13 - l 2.99982 r 6.99963");
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
    l.now_ns += RIG_BIN_NS;
    rig_send(&l, 1, 1, 1, FLT_MAX); /* SAFE, and a reset */
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_FAILED);
    for (uint64_t seq = 2; seq <= 4; seq++) send_later(&l, seq); /* three good bins in 40 ms */
    l.now_ns += RIG_BIN_NS;
    for (uint64_t seq = 6; seq <= 8; seq++) send_later(&l, seq); /* after a gap */
    l.tick_ns = 6 * MS;
    send_later(&l, 9); /* late */
    l.tick_ns = 0;
    l.now_ns -= 18 * MS;
    for (uint64_t seq = 10; seq <= 12; seq++) send_later(&l, seq);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_FAILED);
    send_later(&l, 13); /* the fourth shows that three took 60 ms */
    for (size_t i = 1; i < l.n_frames; i++)
        assert_int_equal(l.frames[i].frame.values.flags & LATENT_SAFE, LATENT_SAFE);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_RUNNING);
    send_later(&l, 14);
    assert_flags(rig_last(&l), LATENT_LIMITED);
    rig_close(&l);
}

/* However many come at once, it is time that must pass. */
static void test_a_burst_does_not_end_it(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    line_safe_on(l.line, l.now_ns);
    line_safe_off(l.line);
    rig_send(&l, 1, 1, 200, 1.0f);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_OPERATOR);
    l.now_ns += 59 * MS;
    rig_send(&l, 1, 201, 1, 1.0f);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_OPERATOR);
    l.now_ns += 1 * MS;
    rig_send(&l, 1, 202, 1, 1.0f);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_RUNNING);
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
    l.now_ns += RIG_BIN_NS;
    rig_send(&l, 1, 102, 1, 1.0f);
    send_later(&l, 103);
    send_later(&l, 104);
    assert_flags(rig_last(&l), LATENT_LIMITED);
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
    for (uint64_t seq = 0; seq < 20; seq++) {
        rig_send(&l, 1, seq, 1, 0.0f);
        l.now_ns += RIG_BIN_NS;
    }
    assert_true(fabsf(rig_last(&l)->readout[1] - 1.5f) < 1e-3f);
    line_safe_on(l.line, l.now_ns);
    assert_true(rig_last(&l)->readout[1] == 0.5f);
    line_safe_off(l.line);
    for (uint64_t seq = 20; seq < 25; seq++) {
        rig_send(&l, 1, seq, 1, 0.0f);
        l.now_ns += RIG_BIN_NS;
    }
    assert_true(l.frames[22].readout[1] == 0.5f); /* the good bin that ends it */
    assert_true(fabsf(l.frames[23].readout[1] - 1.01f) < 1e-6f);
    assert_flags(&l.frames[23], LATENT_LIMITED);
    assert_true(fabsf(l.frames[24].readout[1] - 1.5f) < 1e-3f);
    assert_flags(&l.frames[24], 0);
    assert_flags(&l.frames[25], 0);
    rig_close(&l);
}

/* Bins that waited while the daemon could not act: SAFE comes before them, though no tick did. */
static void test_absence_comes_first(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    l.now_ns += 201 * MS;
    rig_send(&l, 1, 1, 2, 1.0f);
    assert_trace(&l, 1, "201: 1 SAFE l - r 0", "201: 2 SAFE l - r 0");
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_LEASE);
    rig_close(&l);
}

/* The same for what is filled before them. */
static void test_absence_before_a_gap(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    l.now_ns += 201 * MS;
    rig_send(&l, 1, 2, 1, 1.0f);
    assert_trace(&l, 1, "201: 1 FILLED,SAFE l - r 0", "201: 2 GAP,SAFE l - r 0");
    rig_close(&l);
}

/* Neutral from the first bin, until enough have come. */
static void test_start(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    options.policy.safe_start = true;
    rig_open(&l, trace_model(), NULL, &options);
    rig_send(&l, 1, 0, 1, 1.0f);
    assert_trace(&l, 0, "0: 0 SAFE l - r 0");
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_START);
    for (uint64_t seq = 1; seq <= 4; seq++) send_later(&l, seq);
    assert_trace(&l, 1, "20: 1 SAFE l - r 0", "40: 2 SAFE l - r 0", "60: 3 SAFE l - r 0",
                 "80: 4 LIMITED l 2.90625 r 1.3625");
    rig_close(&l);
    options.send_readout = false; /* nothing that could move anything */
    rig_open(&l, trace_model(), NULL, &options);
    rig_send(&l, 1, 0, 1, 1.0f);
    assert_int_equal(rig_last(&l)->frame.values.flags & LATENT_SAFE, 0);
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

/* A held frame that shows neutral, since what it repeats has expired, is as valid as any: what
 * comes after it leaves from neutral all the same, a fifth of the way each bin. */
static void test_held_after_expiry(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    options.policy.missing_after_ns = 70 * MS; /* frames are valid for 60 */
    open_running(&l, &options);
    rig_wait(&l, 70 * MS);
    l.now_ns += 10 * MS;
    rig_send(&l, 1, 1, 1, 1.0f);
    send_later(&l, 2);
    assert_trace(&l, 1, "70: 0 HELD,LIMITED l 1.5 r 0", "80: 1 LIMITED l 2.25 r 0.55",
                 "100: 2 LIMITED l 2.625 r 1.8");
    rig_close(&l);
}

/* A reset by a mark counts whatever is sent for its bin: here the last frame again. */
static void test_reset_of_a_bin_that_is_held(void **state)
{
    struct line_options options = trace_options();
    struct rig l;
    (void)state;
    options.policy.on_late = ON_LATE_HOLD_FRAME;
    open_running(&l, &options);
    for (uint64_t seq = 1; seq <= 8; seq++) send_later(&l, seq);
    l.now_ns += 20 * MS;
    l.tick_ns = 6 * MS; /* over its budget of 5 */
    rig_send_marks(&l, 9, LATENT_MARK_RESET);
    l.tick_ns = 0;
    l.now_ns = (uint64_t)1200 * MS;
    rig_send(&l, 1, 10, 1, 10.0f); /* 23.5; in 14 of 100 ms 3.29 of it */
    assert_trace(&l, 8, "160: 8 - l 2.99414 r 6.98828",
                 "186: 9 LATE,HELD,RESET l 2.99414 r 6.98828", "200: 10 LIMITED l 11.25 r 10.2783");
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
    options.valid_for_ns = 61 * MS;
    options.policy.lease_ns = 115 * MS;
    options.policy.safe_ramp_ns = 50 * MS;
    open_running(&l, &options);
    rig_wait(&l, 140 * MS);
    assert_trace(&l, 1, "60: 0 HELD,LIMITED l 1.5 r 1.6", "65: 0 SAFE l - r 1.45455",
                 "85: 0 SAFE l - r 0.872727", "105: 0 SAFE l - r 0.290909", "115: 0 SAFE l - r 0",
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

/* Whatever is asked for after it, in whatever order it gets there. */
static void test_stop_is_for_good(void **state)
{
    struct rig l;
    (void)state;
    open_running(&l, NULL);
    line_stop(l.line, l.now_ns);
    line_safe_on(l.line, l.now_ns);
    line_safe_off(l.line);
    for (uint64_t seq = 1; seq <= 30; seq++) {
        send_later(&l, seq);
        assert_true(rig_last(&l)->frame.values.flags & LATENT_SAFE);
        assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_STOPPING);
    }
    assert_true(rig_last(&l)->readout[0] == 0.0f);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operator),
        cmocka_unit_test(test_operator_before_any_bin),
        cmocka_unit_test(test_ramp_ends_in_silence),
        cmocka_unit_test(test_exit_counts_bins_in_a_row),
        cmocka_unit_test(test_a_burst_does_not_end_it),
        cmocka_unit_test(test_only_the_operator_ends_it),
        cmocka_unit_test(test_old_bins_do_not_end_it),
        cmocka_unit_test(test_slew_on_the_way_back),
        cmocka_unit_test(test_absence_comes_first),
        cmocka_unit_test(test_absence_before_a_gap),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_expired_readout_is_not_revived),
        cmocka_unit_test(test_held_after_expiry),
        cmocka_unit_test(test_reset_of_a_bin_that_is_held),
        cmocka_unit_test(test_lease_needs_decoded_bins),
        cmocka_unit_test(test_lease_ends_between_bins),
        cmocka_unit_test(test_stop_comes_to_rest),
        cmocka_unit_test(test_stop_is_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
