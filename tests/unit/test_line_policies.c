/* For each policy the trace: what a consumer sees, bin by bin, worked out by hand. Without a
 * ramp, so that the readout is the decoder's: the ways from and to neutral are in
 * test_line_safe. */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_trace.h"

enum { MS = 1000000 };

static struct line_options policy_options(void)
{
    struct line_options options = trace_options();

    options.policy.safe_ramp_ns = 0;
    return options;
}

/* ---- on-gap: bins 2 and 3 are lost ---- */

static void run_gap(enum line_on_gap on_gap, struct rig *l)
{
    struct line_options options = policy_options();

    options.policy.on_gap = on_gap;
    rig_open(l, trace_model(), NULL, &options);
    rig_send(l, 1, 0, 1, 1.0f);
    rig_send(l, 1, 1, 1, 3.0f);
    rig_send(l, 1, 4, 1, 1.0f);
}

static void test_gap_predict(void **state)
{
    struct rig l;
    (void)state;
    run_gap(ON_GAP_PREDICT, &l);
    assert_trace(&l, 0, "0: 0 - l 1.5 r 4", "0: 1 - l 4.25 r 9.5",
                 "0: 2 FILLED,PREDICTED l 3.625 r 8.25", "0: 3 FILLED,PREDICTED l 3.3125 r 7.625",
                 "0: 4 GAP l 3.15625 r 7.3125");
    rig_close(&l);
}

static void test_gap_zero(void **state)
{
    struct rig l;
    (void)state;
    run_gap(ON_GAP_ZERO, &l);
    assert_trace(&l, 2, "0: 2 FILLED l 2.625 r 6.25", "0: 3 FILLED l 1.8125 r 4.625",
                 "0: 4 GAP l 2.40625 r 5.8125");
    rig_close(&l);
}

static void test_gap_hold_input(void **state)
{
    struct rig l;
    (void)state;
    run_gap(ON_GAP_HOLD_INPUT, &l);
    assert_trace(&l, 2, "0: 2 FILLED l 5.625 r 12.25", "0: 3 FILLED l 6.3125 r 13.625",
                 "0: 4 GAP l 4.65625 r 10.3125");
    rig_close(&l);
}

/* The mean is what this kalman predicts with; it is input, so not PREDICTED. */
static void test_gap_mean(void **state)
{
    struct rig l;
    (void)state;
    run_gap(ON_GAP_MEAN, &l);
    assert_trace(&l, 2, "0: 2 FILLED l 3.625 r 8.25", "0: 3 FILLED l 3.3125 r 7.625",
                 "0: 4 GAP l 3.15625 r 7.3125");
    rig_close(&l);
}

static void test_gap_mean_needs_one(void **state)
{
    struct line_options options = rig_options();
    struct line *p;
    struct rig l;
    (void)state;
    rig_open(&l, maker_gru(), NULL, NULL);
    options.policy.on_gap = ON_GAP_MEAN;
    assert_int_equal(
        line_new(&p, l.decoder, &l.info, &options, (struct line_clock){0}, (struct line_sink){0}),
        LATENT_E_UNSUPPORTED);
    assert_null(p);
    rig_close(&l);
}

static void test_gap_reset(void **state)
{
    struct rig l;
    (void)state;
    run_gap(ON_GAP_RESET, &l);
    assert_trace(&l, 2, "0: 4 GAP,RESET l 1.5 r 4");
    rig_close(&l);
}

/* A bin that comes after all is counted, and not decoded. */
static void test_gap_late_after_fill(void **state)
{
    struct rig l;
    (void)state;
    run_gap(ON_GAP_ZERO, &l);
    rig_send(&l, 1, 2, 1, 9.0f);
    rig_send(&l, 1, 5, 1, 1.0f);
    assert_trace(&l, 5, "0: 5 - l 2.70312 r 6.40625");
    assert_int_equal(rig_counter(&l, BINS_LATE_AFTER_FILL), 1);
    assert_int_equal(rig_counter(&l, SEQUENCE_LOST), 1);
    assert_int_equal(rig_counter(&l, SEQUENCE_REORDERED), 1);
    rig_close(&l);
}

/* ---- on-missing: one bin, then nothing ---- */

static void run_missing(enum line_on_missing on_missing, struct rig *l)
{
    struct line_options options = policy_options();

    options.policy.on_missing = on_missing;
    options.valid_for_ns = 61 * MS; /* as long as until the first of these frames */
    rig_open(l, trace_model(), NULL, &options);
    rig_send(l, 1, 0, 1, 1.0f);
    rig_wait(l, 59 * MS);
    assert_int_equal(l->n_frames, 1);
}

/* While it is held, consumers have it; at the lease's end they are neutral. */
static void test_missing_hold_frame(void **state)
{
    struct rig l;
    (void)state;
    run_missing(ON_MISSING_HOLD_FRAME, &l);
    rig_wait(&l, 181 * MS);
    assert_trace(&l, 1, "60: 0 HELD l 1.5 r 4", "80: 0 HELD l 1.5 r 4", "100: 0 HELD l 1.5 r 4",
                 "120: 0 HELD l 1.5 r 4", "140: 0 HELD l 1.5 r 4", "160: 0 HELD l 1.5 r 4",
                 "180: 0 HELD l 1.5 r 4", "200: 0 SAFE l - r 0", "220: 0 SAFE l - r 0",
                 "240: 0 SAFE l - r 0");
    assert_int_equal(rig_counter(&l, SEQUENCE_MISSING), 10);
    assert_int_equal(rig_counter(&l, FRAMES_DUE), 11);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_LEASE);
    rig_close(&l);
}

static void test_missing_predict(void **state)
{
    struct rig l;
    (void)state;
    run_missing(ON_MISSING_PREDICT, &l);
    rig_wait(&l, 22 * MS);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SILENT);
    rig_send(&l, 1, 2, 1, 1.0f); /* stands for a frame that was made */
    rig_send(&l, 1, 3, 1, 1.0f);
    assert_trace(&l, 1, "60: 1 FILLED,PREDICTED l 2.25 r 5.5",
                 "80: 2 FILLED,PREDICTED l 2.625 r 6.25", "81: 3 GAP l 2.8125 r 6.625");
    assert_int_equal(rig_counter(&l, BINS_LATE_AFTER_FILL), 1);
    assert_int_equal(rig_counter(&l, SEQUENCE_MISSING), 2);
    assert_int_equal(rig_counter(&l, SEQUENCE_FILLED), 0);
    assert_int_equal(rig_counter(&l, SEQUENCE_LOST), 1);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_RUNNING);
    rig_close(&l);
}

/* What was predicted belongs to the gap; the rest of it is filled. */
static void test_missing_predict_then_gap(void **state)
{
    struct rig l;
    (void)state;
    run_missing(ON_MISSING_PREDICT, &l);
    rig_wait(&l, 2 * MS);
    rig_send(&l, 1, 3, 1, 1.0f);
    assert_trace(&l, 1, "60: 1 FILLED,PREDICTED l 2.25 r 5.5",
                 "61: 2 FILLED,PREDICTED l 2.625 r 6.25", "61: 3 GAP l 2.8125 r 6.625");
    rig_close(&l);
}

/* A source that is late for good: its bins are passed over until it has caught up with
 * the frames that were made, and no more are made meanwhile. */
static void test_missing_predict_and_late_source(void **state)
{
    struct line_options options = policy_options();
    struct rig l;
    (void)state;
    options.policy.on_missing = ON_MISSING_PREDICT;
    options.policy.lease_ns = 1000 * (uint64_t)MS;
    rig_open(&l, trace_model(), NULL, &options);
    rig_send(&l, 1, 0, 1, 1.0f);
    rig_wait(&l, 81 * MS);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        rig_send(&l, 1, seq, 1, 1.0f);
        rig_wait(&l, 20 * MS);
    }
    assert_trace(&l, 3, "121: 3 GAP l 2.8125 r 6.625");
    assert_int_equal(rig_counter(&l, BINS_LATE_AFTER_FILL), 2);
    rig_close(&l);
}

/* max-gap bounds what is made: then SAFE, though the lease is not over. */
static void test_missing_predict_is_bounded(void **state)
{
    struct line_options options = policy_options();
    struct rig l;
    (void)state;
    options.policy.on_missing = ON_MISSING_PREDICT;
    options.sequence.max_gap_bins = 1;
    rig_open(&l, trace_model(), NULL, &options);
    rig_send(&l, 1, 0, 1, 1.0f);
    rig_wait(&l, 90 * MS);
    assert_trace(&l, 1, "60: 1 FILLED,PREDICTED l 2.25 r 5.5", "80: 1 SAFE l - r 0");
    rig_send(&l, 1, 3, 1, 1.0f); /* two of two were missing: beyond max-gap */
    assert_int_equal(rig_last(&l)->frame.values.flags & LATENT_RESET, LATENT_RESET);
    rig_close(&l);
}

static void test_missing_safe(void **state)
{
    struct rig l;
    (void)state;
    run_missing(ON_MISSING_SAFE, &l);
    rig_wait(&l, 102 * MS);
    assert_trace(&l, 1, "60: 0 SAFE l - r 0", "80: 0 SAFE l - r 0", "100: 0 SAFE l - r 0",
                 "120: 0 SAFE l - r 0", "140: 0 SAFE l - r 0", "160: 0 SAFE l - r 0");
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_MISSING);
    rig_close(&l);
}

/* Nothing until the lease ends; consumers are neutral by then, and stay so. */
static void test_missing_skip(void **state)
{
    struct rig l;
    (void)state;
    run_missing(ON_MISSING_SKIP, &l);
    rig_wait(&l, 162 * MS);
    assert_trace(&l, 1, "200: 0 SAFE l - r 0", "220: 0 SAFE l - r 0");
    rig_close(&l);
}

/* A process that was stopped makes one frame, not those of the time it lost. */
static void test_missing_after_a_stop(void **state)
{
    struct rig l;
    (void)state;
    run_missing(ON_MISSING_HOLD_FRAME, &l);
    l.now_ns += 20 * MS;
    line_on_tick(l.line, l.now_ns, false);
    assert_trace(&l, 1, "79: 0 HELD l 1.5 r 0"); /* 61 ms are too long to have it still */
    assert_int_equal(line_next_tick_ns(l.line, false), 1080 * (uint64_t)MS);
    l.now_ns += 500 * (uint64_t)MS;
    line_on_tick(l.line, l.now_ns, false);
    assert_trace(&l, 2, "579: 0 SAFE l - r 0"); /* the last was no longer valid */
    rig_close(&l);
}

/* ---- on-late: the step of bin 1 takes 6 of 5 ms ---- */

static void run_late(enum line_on_late on_late, struct rig *l)
{
    struct line_options options = policy_options();

    options.policy.on_late = on_late;
    rig_open(l, trace_model(), NULL, &options);
    rig_send(l, 1, 0, 1, 1.0f);
    l->now_ns += 20 * MS;
    l->tick_ns = 6 * MS; /* step starts at 20, ends at 26 */
    rig_send(l, 1, 1, 1, 1.0f);
    l->tick_ns = 0;
    l->now_ns = 1040 * (uint64_t)MS;
    rig_send(l, 1, 2, 1, 1.0f);
}

static void test_late_publish(void **state)
{
    struct rig l;
    (void)state;
    run_late(ON_LATE_PUBLISH, &l);
    assert_trace(&l, 1, "26: 1 LATE l 2.25 r 5.5", "40: 2 - l 2.625 r 6.25");
    rig_close(&l);
}

static void test_late_hold_frame(void **state)
{
    struct rig l;
    (void)state;
    run_late(ON_LATE_HOLD_FRAME, &l);
    assert_trace(&l, 1, "26: 1 LATE,HELD l 1.5 r 4", "40: 2 - l 2.625 r 6.25");
    assert_int_equal(rig_counter(&l, BINS_DECODED), 3);
    rig_close(&l);
}

static void test_late_skip(void **state)
{
    struct rig l;
    (void)state;
    run_late(ON_LATE_SKIP, &l);
    assert_trace(&l, 1, "40: 2 - l 2.625 r 6.25");
    assert_int_equal(rig_counter(&l, FRAMES_SKIPPED), 1);
    assert_int_equal(rig_counter(&l, STATE_BUDGET_MISSES), 1);
    assert_int_equal(rig_last(&l)->frame.pub_seq, 1);
    rig_close(&l);
}

static void test_late_safe(void **state)
{
    struct rig l;
    (void)state;
    run_late(ON_LATE_SAFE, &l);
    assert_trace(&l, 1, "26: 1 LATE,SAFE l - r 0", "40: 2 SAFE l - r 0");
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_LATE);
    rig_close(&l);
}

/* ---- max-age: a burst, each bin 12 ms ---- */

static void test_burst(void **state)
{
    struct rig l;
    struct line_options options = policy_options();
    (void)state;
    rig_open(&l, trace_model(), NULL, &options);
    l.tick_ns = 4 * MS;
    rig_send(&l, 1, 0, 5, 1.0f); /* ages 4, 16, 28, 40, 52; 40 is not too old */
    l.tick_ns = 0;
    l.now_ns = 1100 * (uint64_t)MS;
    rig_send(&l, 1, 5, 1, 1.0f);
    assert_trace(&l, 0, "4: 0 - l 1.5 r 4", "16: 1 LATE l 2.25 r 5.5", "28: 2 LATE l 2.625 r 6.25",
                 "40: 3 LATE l 2.8125 r 6.625");
    /* The last came at once, and is 80 ms old: at 0 there had been four bins more. */
    assert_int_equal(rig_counter(&l, FRAMES_SUPPRESSED_AGE), 2);
    assert_int_equal(rig_counter(&l, BINS_DECODED), 6);
    rig_close(&l);
}

static void test_publish_late(void **state)
{
    struct rig l;
    struct line_options options = policy_options();
    (void)state;
    options.policy.max_age_ns = 0;
    rig_open(&l, trace_model(), NULL, &options);
    l.tick_ns = 4 * MS;
    rig_send(&l, 1, 0, 5, 1.0f);
    assert_trace(&l, 4, "52: 4 LATE l 2.90625 r 6.8125");
    rig_close(&l);
}

/* What is filled is as old as the message that showed the gap. */
static void test_filled_frames_age(void **state)
{
    struct rig l;
    struct line_options options = policy_options();
    (void)state;
    rig_open(&l, trace_model(), NULL, &options);
    rig_send(&l, 1, 0, 1, 1.0f);
    l.tick_ns = 30 * MS; /* published 30, 90, 180 ms after its arrival */
    rig_send(&l, 1, 3, 1, 1.0f);
    assert_trace(&l, 1, "30: 1 FILLED,PREDICTED l 2.25 r 5.5");
    assert_int_equal(rig_counter(&l, FRAMES_SUPPRESSED_AGE), 2);
    assert_int_equal(rig_counter(&l, SEQUENCE_FILLED), 2);
    rig_close(&l);
}

/* ---- the order of decisions ---- */

/* Each row beats those below it. */
static void test_outside_beats_age_and_late(void **state)
{
    struct rig l;
    struct line_options options = policy_options();
    (void)state;
    options.policy.on_late = ON_LATE_SKIP;
    rig_open(&l, maker_ndt(), "A", &options);
    rig_send(&l, 1, 0, 3, 1.0f); /* a trial */
    l.tick_ns = 100 * MS;
    rig_send(&l, 1, 3, 1, 1.0f);
    assert_flags(rig_last(&l), LATENT_OUTSIDE | LATENT_LATE);
    assert_int_equal(rig_counter(&l, FRAMES_PUBLISHED), 4);
    line_safe_on(l.line, l.now_ns);
    rig_send(&l, 1, 4, 1, 1.0f);
    assert_flags(rig_last(&l), LATENT_SAFE | LATENT_LATE);
    rig_close(&l);
}

static void test_warmup_beats_age_and_late(void **state)
{
    struct rig l;
    struct line_options options = policy_options();
    (void)state;
    options.policy.on_late = ON_LATE_SKIP;
    rig_open(&l, maker_ndt(), "C", &options);
    l.tick_ns = 100 * MS;
    rig_send(&l, 1, 0, 1, 1.0f);
    assert_flags(rig_last(&l), LATENT_WARMUP | LATENT_LATE);
    assert_int_equal(rig_last(&l)->frame.values.n_latents, 2);
    rig_close(&l);
}

static void test_age_beats_late(void **state)
{
    struct rig l;
    struct line_options options = policy_options();
    (void)state;
    options.policy.on_late = ON_LATE_SAFE;
    rig_open(&l, trace_model(), NULL, &options);
    rig_send(&l, 1, 0, 1, 1.0f);
    l.tick_ns = 100 * MS;
    rig_send(&l, 1, 1, 1, 1.0f);
    assert_int_equal(l.n_frames, 1);
    assert_int_equal(rig_counter(&l, FRAMES_SUPPRESSED_AGE), 1);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_RUNNING);
    rig_close(&l);
}

static void test_safe_beats_all(void **state)
{
    struct rig l;
    struct line_options options = policy_options();
    (void)state;
    rig_open(&l, trace_model(), NULL, &options);
    rig_send(&l, 1, 0, 1, 1.0f);
    line_safe_on(l.line, l.now_ns);
    l.tick_ns = 100 * MS;
    rig_send(&l, 1, 2, 1, FLT_MAX);
    assert_int_equal(rig_counter(&l, FRAMES_PUBLISHED), 4);
    assert_flags(&l.frames[2], LATENT_SAFE | LATENT_FILLED);
    assert_flags(&l.frames[3], LATENT_SAFE | LATENT_GAP | LATENT_LATE);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gap_predict),
        cmocka_unit_test(test_gap_zero),
        cmocka_unit_test(test_gap_hold_input),
        cmocka_unit_test(test_gap_mean),
        cmocka_unit_test(test_gap_mean_needs_one),
        cmocka_unit_test(test_gap_reset),
        cmocka_unit_test(test_gap_late_after_fill),
        cmocka_unit_test(test_missing_hold_frame),
        cmocka_unit_test(test_missing_predict),
        cmocka_unit_test(test_missing_predict_then_gap),
        cmocka_unit_test(test_missing_predict_and_late_source),
        cmocka_unit_test(test_missing_predict_is_bounded),
        cmocka_unit_test(test_missing_safe),
        cmocka_unit_test(test_missing_skip),
        cmocka_unit_test(test_missing_after_a_stop),
        cmocka_unit_test(test_late_publish),
        cmocka_unit_test(test_late_hold_frame),
        cmocka_unit_test(test_late_skip),
        cmocka_unit_test(test_late_safe),
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_publish_late),
        cmocka_unit_test(test_filled_frames_age),
        cmocka_unit_test(test_outside_beats_age_and_late),
        cmocka_unit_test(test_warmup_beats_age_and_late),
        cmocka_unit_test(test_age_beats_late),
        cmocka_unit_test(test_safe_beats_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
