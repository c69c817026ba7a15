/* The line, from bytes to bytes: frames and their flags, gaps, SAFE, times. Real
 * models, a virtual clock. */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_fixture.h"

/* ---- one bin ---- */

static void test_frame_fields(void **state)
{
    struct rig l;
    const struct kept_frame *k;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 42, 7, 2, 0.0f);
    k = rig_last(&l);
    assert_int_equal(l.n_frames, 2);
    assert_int_equal(k->frame.epoch, 42);
    assert_int_equal(k->frame.seq, 8);
    assert_int_equal(k->frame.pub_seq, 1);
    assert_int_equal(k->frame.t_source_ns, 9000000000u + 8 * 20000000u);
    assert_int_equal(k->frame.t_recv_ns, 1000000000);
    assert_int_equal(k->frame.t_publish_ns, 1000000000);
    assert_int_equal(k->frame.budget_left_ns, 5000000);
    assert_int_equal(k->frame.valid_for_ns, 60000000);
    assert_int_equal(k->frame.clock_id, 77);
    assert_int_equal(k->frame.decoder_id, latent_decoder_id(l.decoder));
    assert_int_equal(k->frame.event_id, 508);
    assert_int_equal(k->frame.age_ns, 0);
    assert_flags(k, LATENT_LIMITED); /* two bins in no time: there is a slew */
    assert_flags(&l.frames[0], 0);
    rig_close(&l);
}

/* s = M1 s + m0 on silence, readout = (2 s0 + 1, -s1): by hand. */
static void test_values(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 0.0f);
    assert_true(rig_last(&l)->latents[0] == 0.5f && rig_last(&l)->latents[1] == -1.0f);
    assert_true(rig_last(&l)->readout[0] == 2.0f && rig_last(&l)->readout[1] == 1.0f);
    rig_send(&l, 1, 1, 1, 0.0f);
    assert_true(rig_last(&l)->latents[0] == 0.75f);
    assert_true(rig_last(&l)->latents[1] == -1.375f);
    rig_close(&l);
}

static void test_absent_source_time_stays_absent(void **state)
{
    struct rig l;
    struct wire_bins head = {.seq = 1, .bin_width_us = 20000, .n_channels = 3, .n_bins = 3};
    float counts[9] = {0};
    uint8_t message[512];
    size_t n = wire_pack_bins(&head, counts, NULL, NULL, message, sizeof message);
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send_bytes(&l, message, n);
    for (size_t i = 0; i < 3; i++) assert_int_equal(l.frames[i].frame.t_source_ns, 0);
    rig_close(&l);
}

/* ---- gaps, restarts, resets ---- */

static void test_gap_frames(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_gru(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 1.0f);
    rig_send(&l, 1, 3, 1, 1.0f);
    assert_int_equal(l.n_frames, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct wire_frame *f = &l.frames[i].frame;
        bool filled = i == 1 || i == 2;
        assert_int_equal(f->seq, i);
        assert_int_equal(f->pub_seq, i);
        assert_int_equal(f->t_recv_ns, filled ? 0 : 1000000000);
        assert_int_equal(f->t_source_ns == 0, filled);
        assert_int_equal(f->values.n_rates, 3);
    }
    assert_flags(&l.frames[1], LATENT_FILLED | LATENT_PREDICTED);
    assert_flags(&l.frames[2], LATENT_FILLED | LATENT_PREDICTED);
    assert_flags(&l.frames[3], LATENT_GAP);
    assert_int_equal(rig_counter(&l, SEQUENCE_FILLED), 2);
    assert_int_equal(rig_counter(&l, SEQUENCE_LOST), 2);
    assert_int_equal(rig_counter(&l, FLAGS_FIRST + 1), 1); /* GAP */
    rig_close(&l);
}

/* Filling gives what the decoder itself predicts. */
static void test_fill_is_predict(void **state)
{
    struct rig l;
    latent_decoder *d;
    struct latent_frame f;
    const float counts[3] = {1, 1, 1};
    const struct latent_bin bin = {.n_channels = 3, .counts = counts};
    const struct latent_options options = {.predicts = 1};
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 1.0f);
    l.now_ns += RIG_BIN_NS;
    rig_send(&l, 1, 2, 1, 1.0f);
    assert_int_equal(latent_decoder_new(&d, l.model, &options, NULL), 0);
    latent_decoder_step(d, &bin, &f);
    latent_decoder_predict(d, &f);
    assert_memory_equal(f.latents, l.frames[1].latents, 2 * sizeof(float));
    assert_memory_equal(f.readout, l.frames[1].readout, 2 * sizeof(float));
    latent_decoder_step(d, &bin, &f);
    assert_memory_equal(f.latents, l.frames[2].latents, 2 * sizeof(float));
    latent_decoder_free(d);
    rig_close(&l);
}

static void test_long_gap_resets(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 5.0f);
    rig_send(&l, 1, 500, 1, 0.0f);
    assert_int_equal(l.n_frames, 2);
    assert_flags(rig_last(&l), LATENT_GAP | LATENT_RESET | LATENT_LIMITED);
    assert_true(rig_last(&l)->latents[0] == 0.5f); /* as the first bin of test_values */
    assert_int_equal(rig_counter(&l, SEQUENCE_RESETS), 1);
    assert_int_equal(rig_counter(&l, SEQUENCE_LOST), 499);
    assert_int_equal(rig_counter(&l, SEQUENCE_FILLED), 0);
    rig_close(&l);
}

static void test_on_gap_reset(void **state)
{
    struct line_options options = rig_options();
    struct rig l;
    (void)state;
    options.policy.on_gap = ON_GAP_RESET;
    rig_open(&l, maker_kalman(), NULL, &options);
    rig_send(&l, 1, 0, 1, 5.0f);
    rig_send(&l, 1, 2, 1, 0.0f);
    assert_int_equal(l.n_frames, 2);
    assert_flags(rig_last(&l), LATENT_GAP | LATENT_RESET | LATENT_LIMITED);
    rig_close(&l);
}

static void test_new_epoch(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 700, 1, 5.0f);
    l.now_ns += 60000000; /* missing-after */
    rig_send(&l, 2, 0, 1, 0.0f);
    assert_flags(rig_last(&l), LATENT_RESET | LATENT_LIMITED);
    assert_true(rig_last(&l)->latents[0] == 0.5f);
    assert_int_equal(rig_counter(&l, SEQUENCE_RESTARTS), 1);
    assert_int_equal(rig_counter(&l, SEQUENCE_RESETS), 1);
    assert_int_equal(rig_counter(&l, STATE_LAST_EPOCH), 2);
    rig_close(&l);
}

static void test_reset_on_request(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 5.0f);
    line_reset(l.line);
    rig_send(&l, 1, 1, 1, 0.0f);
    assert_flags(rig_last(&l), LATENT_RESET | LATENT_LIMITED);
    assert_int_equal(rig_counter(&l, SEQUENCE_RESETS), 1);
    rig_close(&l);
}

static void test_marks(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 5.0f);
    l.now_ns += RIG_BIN_NS;
    rig_send_marks(&l, 1, LATENT_MARK_RESET | LATENT_MARK_TRIAL_END);
    assert_flags(rig_last(&l), LATENT_RESET);
    assert_int_equal(rig_last(&l)->frame.marks, LATENT_MARK_RESET | LATENT_MARK_TRIAL_END);
    assert_int_equal(rig_counter(&l, SEQUENCE_RESETS), 0); /* not by latentd */
    rig_close(&l);
}

static void test_outside(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_ndt(), "A", NULL);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_WAITING);
    rig_send_marks(&l, 0, LATENT_MARK_TRIAL_START);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_RUNNING);
    for (uint64_t seq = 1; seq < 4; seq++) rig_send_marks(&l, seq, 0); /* trial: 3 bins */
    assert_flags(rig_last(&l), LATENT_OUTSIDE);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_OUTSIDE);
    rig_send_marks(&l, 4, LATENT_MARK_TRIAL_START);
    assert_flags(rig_last(&l), LATENT_RESET);
    assert_int_equal(rig_counter(&l, BINS_DECODED), 5);
    assert_int_equal(rig_counter(&l, FRAMES_PUBLISHED), 5);
    rig_close(&l);
}

/* ---- SAFE ---- */

static void assert_safe(const struct kept_frame *k, uint32_t flags)
{
    assert_flags(k, LATENT_SAFE | flags);
    assert_int_equal(k->frame.values.n_latents, 0);
    assert_int_equal(k->frame.values.n_rates, 0);
    assert_int_equal(k->frame.values.n_readout, 2);
    assert_true(k->readout[0] == 0.0f && k->readout[1] == 0.5f); /* neutral, from the file */
}

static void test_safe_at_the_end(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 6, 30, 2, 1.0f);
    line_stop(l.line, l.now_ns);
    assert_safe(rig_last(&l), 0);
    assert_int_equal(rig_last(&l)->frame.epoch, 6);
    assert_int_equal(rig_last(&l)->frame.seq, 31);
    assert_int_equal(rig_last(&l)->frame.pub_seq, 2);
    assert_int_equal(rig_last(&l)->frame.t_recv_ns, 0);
    assert_int_equal(rig_counter(&l, SEQUENCE_MISSING), 1);
    assert_int_equal(rig_counter(&l, FRAMES_DUE), 3);
    rig_close(&l);
}

static void test_safe_before_any_bin(void **state)
{
    struct line_options options = rig_options();
    struct rig l;
    (void)state;
    options.send_readout = false;
    rig_open(&l, maker_kalman(), NULL, &options);
    line_stop(l.line, l.now_ns);
    assert_flags(rig_last(&l), LATENT_SAFE);
    assert_int_equal(rig_last(&l)->frame.values.n_readout, 0);
    rig_close(&l);
}

/* A finite input whose output is not: nothing of it gets out, and the stream goes on
 * from a reset. */
static void test_safe_for_output_that_is_not_finite(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 1.0f);
    rig_send(&l, 1, 1, 1, FLT_MAX);
    assert_safe(rig_last(&l), 0);
    assert_int_equal(rig_last(&l)->frame.seq, 1);
    assert_int_equal(rig_last(&l)->frame.event_id, 501);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_FAILED);
    assert_int_equal(rig_counter(&l, BINS_DECODED), 2);
    rig_send(&l, 1, 2, 1, 0.0f); /* good */
    assert_safe(rig_last(&l), LATENT_RESET);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_FAILED);
    l.now_ns += RIG_BIN_NS;
    rig_send(&l, 1, 3, 1, 0.0f); /* and ends SAFE: it took the time of one bin */
    assert_safe(rig_last(&l), 0);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_RUNNING);
    rig_send(&l, 1, 4, 1, 0.0f);
    assert_flags(rig_last(&l), LATENT_LIMITED);      /* led from neutral by its slew */
    assert_true(rig_last(&l)->latents[0] == 0.875f); /* as in test_values, a bin on */
    assert_int_equal(rig_counter(&l, SEQUENCE_RESETS), 1);
    rig_close(&l);
}

/* The same while filling: a model that grows without input. Of its known answer only
 * the first bin is kept, which does not depend on M1. */
static void test_safe_for_a_prediction_that_is_not_finite(void **state)
{
    static const double growing[4] = {3.0, 0.0, 0.0, 0.5};
    static const char *const answers[] = {"selftest.input", "selftest.causal.latents",
                                          "selftest.causal.readout"};
    struct model_parts parts = maker_kalman();
    struct rig l;
    (void)state;
    maker_find(&parts, "M1")->data = growing;
    for (size_t i = 0; i < 3; i++) {
        struct file_tensor *t = maker_find(&parts, answers[i]);
        t->shape[0] = 1;
        t->n_bytes /= 4;
    }
    rig_open(&l, parts, NULL, NULL);
    rig_send(&l, 1, 0, 1, 1e38f);
    assert_int_equal(rig_last(&l)->frame.values.flags & LATENT_SAFE, 0);
    rig_send(&l, 1, 3, 1, 0.0f);
    assert_int_equal(l.n_frames, 4);
    assert_safe(&l.frames[1], LATENT_FILLED);
    assert_safe(&l.frames[2], LATENT_FILLED | LATENT_RESET);
    assert_safe(&l.frames[3], LATENT_GAP);
    l.now_ns += RIG_BIN_NS;
    rig_send(&l, 1, 4, 2, 0.0f);
    assert_int_equal(rig_last(&l)->frame.values.flags & LATENT_SAFE, 0);
    assert_int_equal(rig_counter(&l, SEQUENCE_RESETS), 1);
    assert_int_equal(rig_counter(&l, SEQUENCE_FILLED), 2);
    rig_close(&l);
}

/* The table of decisions: which flags a frame carries, and what of it is there. */
static void test_table_of_decisions(void **state)
{
    const struct {
        float count;
        uint64_t tick_ns;
        uint32_t flags;
        uint32_t n_latents;
    } rows[] = {
        {1.0f, 0, 0, 2},                                  /* published */
        {1.0f, 6000000, LATENT_LATE, 2},                  /* late, and published */
        {FLT_MAX, 0, LATENT_SAFE, 0},                     /* SAFE comes first */
        {FLT_MAX, 6000000, LATENT_SAFE | LATENT_LATE, 0}, /* and may be late */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig l;
        rig_open(&l, maker_kalman(), NULL, NULL);
        l.tick_ns = rows[i].tick_ns;
        rig_send(&l, 1, 0, 1, rows[i].count);
        assert_flags(rig_last(&l), rows[i].flags);
        assert_int_equal(rig_last(&l)->frame.values.n_latents, rows[i].n_latents);
        rig_close(&l);
    }
}

/* ---- time ---- */

/* The clock moves 1 ms with each look: start of step +0, publication +1, done +2. */
static void test_times(void **state)
{
    static const uint64_t expected_ms[N_TIMES] = {[TIME_QUEUEING] = 0,
                                                  [TIME_DECODING] = 1,
                                                  [TIME_PUBLISHING] = 1,
                                                  [TIME_LATENCY] = 1,
                                                  [TIME_SPARE] = 19};
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    l.tick_ns = 1000000;
    rig_send(&l, 1, 0, 1, 1.0f);
    for (enum line_time t = 0; t < N_TIMES; t++) {
        struct histogram_summary s;
        line_read_time(l.line, t, &s);
        assert_int_equal(s.n, 1);
        assert_int_equal(s.max_ns, expected_ms[t] * 1000000);
    }
    assert_int_equal(rig_last(&l)->frame.budget_left_ns, 4000000);
    rig_close(&l);
}

/* Bins of one message share a stamp: the later ones carry their wait. */
static void test_late(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    l.tick_ns = 1000000; /* three looks a bin: latencies 1, 4, 7, 10 ms; budget 5 */
    rig_send(&l, 1, 0, 4, 1.0f);
    assert_flags(&l.frames[1], LATENT_LIMITED); /* 3 ms after the first */
    assert_flags(&l.frames[2], LATENT_LATE | LATENT_LIMITED);
    assert_int_equal(l.frames[2].frame.budget_left_ns, -2000000);
    assert_int_equal(rig_counter(&l, STATE_BUDGET_MISSES), 2);
    assert_int_equal(rig_counter(&l, FRAMES_PUBLISHED), 4);
    rig_close(&l);
}

static void test_exactly_the_budget_is_in_time(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    l.tick_ns = 5000000;
    rig_send(&l, 1, 0, 1, 1.0f);
    assert_flags(rig_last(&l), 0);
    assert_int_equal(rig_counter(&l, STATE_BUDGET_MISSES), 0);
    rig_close(&l);
}

/* ---- the sink ---- */

static void test_sink_that_does_not_take(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 0, 1, 1.0f);
    l.answer = -1;
    rig_send(&l, 1, 1, 1, 1.0f);
    l.answer = 0;
    rig_send(&l, 1, 2, 1, 1.0f);
    assert_int_equal(rig_counter(&l, FRAMES_SUPPRESSED_SEND), 1);
    assert_int_equal(rig_counter(&l, FRAMES_PUBLISHED), 2);
    assert_int_equal(rig_counter(&l, FLAGS_FIRST + 13), 2); /* of frames that left: AGE_UNKNOWN */
    assert_int_equal(rig_last(&l)->frame.seq, 2);
    assert_int_equal(rig_last(&l)->frame.pub_seq, 1);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_fields),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_absent_source_time_stays_absent),
        cmocka_unit_test(test_gap_frames),
        cmocka_unit_test(test_fill_is_predict),
        cmocka_unit_test(test_long_gap_resets),
        cmocka_unit_test(test_on_gap_reset),
        cmocka_unit_test(test_new_epoch),
        cmocka_unit_test(test_reset_on_request),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_safe_at_the_end),
        cmocka_unit_test(test_safe_before_any_bin),
        cmocka_unit_test(test_safe_for_output_that_is_not_finite),
        cmocka_unit_test(test_safe_for_a_prediction_that_is_not_finite),
        cmocka_unit_test(test_table_of_decisions),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_exactly_the_budget_is_in_time),
        cmocka_unit_test(test_sink_that_does_not_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
