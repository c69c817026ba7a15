/* What the line refuses, in the order of its checks, and that the stream goes on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_fixture.h"

enum { MAX_MESSAGE = 65536 };

static void test_refused_messages(void **state)
{
    struct rig l;
    uint8_t message[MAX_MESSAGE], *large;
    size_t n;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);

    rig_send_bytes(&l, "", 0);
    line_refuse_parts(l.line);
    large = calloc(1, line_max_payload(l.line) + 1);
    assert_non_null(large);
    rig_send_bytes(&l, large, line_max_payload(l.line) + 1);
    free(large);
    assert_int_equal(rig_counter(&l, MESSAGES_REFUSED_LENGTH), 3);

    rig_send_bytes(&l, "\xff\xff\xff\xff garbage", 12);
    assert_int_equal(rig_counter(&l, MESSAGES_REFUSED_FORMAT), 1);

    l.info.n_channels = 4; /* of the sender, not of the line */
    rig_send(&l, 1, 0, 1, 1.0f);
    l.info.n_channels = 3;
    l.info.bin_width_us = 10000;
    rig_send(&l, 1, 0, 1, 1.0f);
    l.info.bin_width_us = 20000;
    assert_int_equal(rig_counter(&l, MESSAGES_REFUSED_SHAPE), 2);

    n = rig_pack(&l, 1, UINT64_MAX - 1, 2, 1.0f, message, sizeof message);
    rig_send_bytes(&l, message, n);
    assert_int_equal(rig_counter(&l, MESSAGES_REFUSED_SEQUENCE), 1);

    assert_int_equal(rig_counter(&l, MESSAGES_IN), 7);
    assert_int_equal(rig_counter(&l, BINS_IN), 0);
    rig_send(&l, 1, 0, 1, 1.0f);
    assert_int_equal(rig_counter(&l, BINS_DECODED), 1);
    rig_close(&l);
}

static void check_misfit(const struct rig *l, enum misfit what, uint64_t n, uint64_t found,
                         uint64_t expected, uint64_t epoch)
{
    struct misfit_seen seen;
    line_read_misfit(l->line, what, &seen);
    assert_int_equal(seen.n, n);
    assert_int_equal(seen.found, found);
    assert_int_equal(seen.expected, expected);
    assert_int_equal(seen.epoch, epoch);
}

/* Length, channels and width are told apart, each with what came last and what should have come. */
static void test_misfits(void **state)
{
    struct rig l;
    uint8_t message[MAX_MESSAGE];
    const uint32_t channels[] = {4, 2};
    size_t n;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    check_misfit(&l, MISFIT_CHANNELS, 0, 0, 3, 0);
    for (int i = 0; i < 2; i++) {
        l.info.n_channels = channels[i];
        rig_send(&l, 7 + i, 0, 1, 1.0f);
        check_misfit(&l, MISFIT_CHANNELS, i + 1, channels[i], 3, 7 + i);
    }
    l.info.n_channels = 3;
    l.info.bin_width_us = 10000;
    rig_send(&l, 9, 0, 1, 1.0f);
    check_misfit(&l, MISFIT_BIN_WIDTH, 1, 10000, 20000, 9);
    l.info.bin_width_us = 20000;
    rig_send_bytes(&l, "", 0);
    check_misfit(&l, MISFIT_BYTES, 1, 0, line_max_payload(l.line), 0);
    memset(message, 0, line_max_payload(l.line) + 1);
    rig_send_bytes(&l, message, line_max_payload(l.line) + 1);
    check_misfit(&l, MISFIT_BYTES, 2, line_max_payload(l.line) + 1, line_max_payload(l.line), 0);
    n = rig_pack(&l, 1, 0, 1, 1.0f, message, sizeof message);
    rig_send_bytes(&l, message, n);
    check_misfit(&l, MISFIT_CHANNELS, 2, 2, 3, 8);
    assert_int_equal(rig_counter(&l, MESSAGES_REFUSED_SHAPE), 3);
    assert_int_equal(rig_counter(&l, MESSAGES_REFUSED_LENGTH), 2);
    rig_close(&l);
}

/* Each way to cut a message gives one outcome and no frame of a bin that was not there. */
static void test_cut_messages(void **state)
{
    struct rig l;
    uint8_t message[MAX_MESSAGE];
    size_t n;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    n = rig_pack(&l, 1, 0, 4, 3.0f, message, sizeof message);
    for (size_t cut = 0; cut < n; cut++) rig_send_bytes(&l, message, cut);
    assert_int_equal(rig_counter(&l, MESSAGES_IN), n);
    assert_true(rig_counter(&l, BINS_IN) < 4 * n);
    assert_int_equal(rig_counter(&l, FRAMES_PUBLISHED), l.n_frames);
    rig_close(&l);
}

/* A message of three bins, the middle one damaged by the caller. */
static size_t pack_three(struct rig *l, float *counts, uint8_t *message, size_t cap)
{
    struct wire_bins head = {.epoch = 1,
                             .seq = 10,
                             .t_source_ns = 1,
                             .bin_width_us = l->info.bin_width_us,
                             .n_channels = l->info.n_channels,
                             .n_bins = 3};
    return wire_pack_bins(&head, counts, NULL, NULL, message, cap);
}

/* The bad bin alone is refused; it is missing then, and filled before the next. */
static void test_bad_bin_in_a_batch(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct rig l;
        float counts[9] = {1, 2, 3, 4, bad[i], 6, 7, 8, 9};
        uint8_t message[512];
        rig_open(&l, maker_gru(), NULL, NULL);
        rig_send_bytes(&l, message, pack_three(&l, counts, message, sizeof message));
        assert_int_equal(rig_counter(&l, MESSAGES_ACCEPTED), 1);
        assert_int_equal(rig_counter(&l, BINS_IN), 3);
        assert_int_equal(rig_counter(&l, BINS_DECODED), 2);
        assert_int_equal(rig_counter(&l, BINS_REFUSED_VALUE), 1);
        assert_int_equal(l.n_frames, 3);
        assert_flags(&l.frames[1], LATENT_FILLED | LATENT_PREDICTED);
        assert_int_equal(l.frames[1].frame.seq, 11);
        assert_flags(&l.frames[2], LATENT_GAP);
        rig_close(&l);
    }
}

/* Shape before sequence before value: a bin that fails in several ways is counted by
 * the first. */
static void test_order_of_checks(void **state)
{
    struct rig l;
    float counts[9] = {0.5f, 0, 0, NAN, 0, 0, 0, 0, 0};
    uint8_t message[512];
    size_t n;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    rig_send(&l, 1, 12, 1, 1.0f);
    n = pack_three(&l, counts, message, sizeof message); /* 10 stale, 11 stale, 12 again */
    rig_send_bytes(&l, message, n);
    assert_int_equal(rig_counter(&l, BINS_STALE), 2); /* 11 holds a NaN, but is stale */
    assert_int_equal(rig_counter(&l, BINS_DUPLICATE), 1);
    assert_int_equal(rig_counter(&l, BINS_REFUSED_VALUE), 0);
    rig_close(&l);
}

/* Bins [1 .. n] of a message whose counts are one byte short, written by hand: field 7,
 * length 4, then field 1 of the bin with 2 bytes for 3 channels. */
static void test_bin_of_wrong_size(void **state)
{
    static const uint8_t short_bin[] = {7 << 3 | 2, 4, 1 << 3 | 2, 2, 1, 1};
    struct rig l;
    uint8_t message[512];
    size_t n;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    n = rig_pack(&l, 1, 5, 1, 1.0f, message, sizeof message);
    memcpy(message + n, short_bin, sizeof short_bin);
    rig_send_bytes(&l, message, n + sizeof short_bin);
    assert_int_equal(rig_counter(&l, BINS_IN), 2);
    assert_int_equal(rig_counter(&l, BINS_REFUSED_SHAPE), 1);
    assert_int_equal(rig_counter(&l, BINS_DECODED), 1);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_messages),   cmocka_unit_test(test_cut_messages),
        cmocka_unit_test(test_bad_bin_in_a_batch), cmocka_unit_test(test_order_of_checks),
        cmocka_unit_test(test_bin_of_wrong_size),  cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
