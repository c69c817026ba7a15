/* Numbers and times that cannot be: what of it moves the line. Bins of 20 ms, max-jump 500 bins,
 * missing-after 60 ms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_fixture.h"

#define MS ((uint64_t)1000000)
#define BIN ((uint64_t)RIG_BIN_NS)
#define HOUR_NS (3600000 * MS)
#define START_NS (9 * HOUR_NS) /* of the source's clock */

/* A number that tells its time. */
static void say(struct rig *l, uint64_t epoch, uint64_t seq, uint64_t pause_ns)
{
    rig_say(l,
            (struct rig_message){.epoch = epoch, .seq = seq, .t_source_ns = START_NS + seq * BIN},
            pause_ns);
}

static void open_at(struct rig *l, uint64_t epoch, uint64_t seq)
{
    rig_open(l, maker_kalman(), NULL, NULL);
    say(l, epoch, seq, BIN);
}

/* What came of all: decoded, jumped, of another source, restarts. */
static void check(struct rig *l, uint64_t decoded, uint64_t jump, uint64_t source,
                  uint64_t restarts)
{
    assert_int_equal(rig_counter(l, BINS_DECODED), decoded);
    assert_int_equal(rig_counter(l, BINS_REFUSED_JUMP), jump);
    assert_int_equal(rig_counter(l, BINS_REFUSED_SOURCE), source);
    assert_int_equal(rig_counter(l, SEQUENCE_RESTARTS), restarts);
}

/* ---- one wild message ---- */

/* It moves nothing: the next bin is the next. */
static void test_wild_numbers(void **state)
{
    const uint64_t wild[] = {(uint64_t)1 << 63 | 2000, 0, 2000 - 1024, 2000 + 505, UINT64_MAX - 1};
    (void)state;
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        struct rig l;
        open_at(&l, epoch, 2000);
        for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
            rig_say(&l, (struct rig_message){.epoch = epoch, .seq = wild[i]}, BIN);
            say(&l, epoch, 2001 + i, BIN);
            assert_int_equal(rig_last(&l)->frame.values.flags & (LATENT_GAP | LATENT_RESET), 0);
        }
        check(&l, 6, 5, 0, 0);
        assert_int_equal(l.n_frames, 6);
        assert_int_equal(rig_counter(&l, SEQUENCE_LOST), 0);
        rig_close(&l);
    }
}

/* The last numbers that can be: a gap that resets, and a stale bin. */
static void test_farthest_numbers(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 1, 2000);
    say(&l, 1, 2500, BIN);
    assert_int_equal(rig_counter(&l, SEQUENCE_RESETS), 1);
    assert_int_equal(rig_counter(&l, SEQUENCE_LOST), 499);
    rig_say(&l, (struct rig_message){.epoch = 1, .seq = 2500 - 1023}, BIN);
    assert_int_equal(rig_counter(&l, BINS_STALE), 1);
    check(&l, 2, 0, 0, 0);
    rig_close(&l);
}

static void test_wild_times(void **state)
{
    const int64_t wild[] = {(int64_t)HOUR_NS, -(int64_t)HOUR_NS, 10001 * (int64_t)MS,
                            -10001 * (int64_t)MS};
    struct rig l;
    (void)state;
    open_at(&l, 1, 2000);
    for (size_t i = 0; i < 4; i++) {
        rig_say(
            &l,
            (struct rig_message){.epoch = 1,
                                 .seq = 2001 + i,
                                 .t_source_ns = START_NS + (2000 + i) * BIN + (uint64_t)wild[i]},
            BIN);
        say(&l, 1, 2001 + i, BIN);
    }
    check(&l, 5, 4, 0, 0);
    assert_int_equal(rig_last(&l)->frame.t_source_ns, START_NS + 2004 * BIN);
    rig_close(&l);
}

/* Ten seconds, both ways; none; and a clock that stands still. */
static void test_times_that_can_be(void **state)
{
    const uint64_t t_ns[] = {START_NS + 10000 * MS, START_NS, 0, START_NS, 0, START_NS, START_NS};
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    for (size_t i = 0; i < 7; i++)
        rig_say(&l, (struct rig_message){.epoch = 1, .seq = i, .t_source_ns = t_ns[i]}, BIN);
    check(&l, 7, 0, 0, 0);
    rig_close(&l);
}

/* Back in time by 1,024 bins is too far, even where max-jump is further. */
static void test_time_far_back(void **state)
{
    struct line_options options = rig_options();
    struct rig l;
    (void)state;
    options.max_jump_bins = 5000;
    rig_open(&l, maker_kalman(), NULL, &options);
    rig_say(&l, (struct rig_message){.epoch = 1, .seq = 0, .t_source_ns = START_NS}, BIN);
    rig_say(&l, (struct rig_message){.epoch = 1, .seq = 1, .t_source_ns = START_NS - 1024 * BIN},
            BIN);
    check(&l, 1, 1, 0, 0);
    rig_say(&l, (struct rig_message){.epoch = 1, .seq = 1, .t_source_ns = START_NS - 1023 * BIN},
            BIN);
    check(&l, 2, 1, 0, 0);
    rig_close(&l);
}

/* Records of before: whatever comes is believed. */
static void test_without_the_rule(void **state)
{
    struct line_options options = rig_options();
    struct rig l;
    (void)state;
    options.max_jump_bins = 0;
    rig_open(&l, maker_kalman(), NULL, &options);
    say(&l, 1, 0, BIN);
    say(&l, 1, (uint64_t)1 << 63, BIN);
    rig_say(&l, (struct rig_message){.epoch = 2, .seq = 5}, BIN);
    check(&l, 3, 0, 0, 1);
    rig_close(&l);
}

/* ---- agreement ---- */

/* A counter of 32 bits wraps: two bins are refused, the third starts anew. */
static void test_wrap_is_a_restart(void **state)
{
    (void)state;
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        struct rig l;
        open_at(&l, epoch, UINT32_MAX);
        for (uint64_t seq = 0; seq < 5; seq++)
            rig_say(&l, (struct rig_message){epoch, seq, 0, 1, 0, 0, 0}, BIN);
        check(&l, 4, 2, 0, 1);
        assert_int_equal(l.frames[1].frame.seq, 2);
        assert_true(l.frames[1].frame.values.flags & LATENT_RESET);
        assert_int_equal(rig_counter(&l, SEQUENCE_LOST), 0);
        rig_close(&l);
    }
}

/* A clock that was set: likewise, and its time is the one that holds from then on. */
static void test_clock_is_set(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 1, 0);
    for (uint64_t seq = 1; seq < 6; seq++)
        rig_say(&l,
                (struct rig_message){.epoch = 1, .seq = seq, .t_source_ns = HOUR_NS + seq * BIN},
                BIN);
    check(&l, 4, 2, 0, 1);
    say(&l, 1, 6, BIN);
    check(&l, 4, 3, 0, 1);
    rig_close(&l);
}

/* Three at once are one moment: it takes two bins of time. */
static void test_agreement_takes_time(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 0, 5000);
    for (uint64_t seq = 0; seq < 20; seq++)
        rig_say(&l, (struct rig_message){0, seq, 0, 1, 0, 0, 0}, 0);
    l.now_ns += 2 * BIN - 1;
    rig_say(&l, (struct rig_message){0, 20, 0, 1, 0, 0, 0}, 1);
    check(&l, 1, 21, 0, 0);
    rig_say(&l, (struct rig_message){0, 21, 0, 1, 0, 0, 0}, BIN);
    check(&l, 2, 21, 0, 1);
    rig_close(&l);
}

/* However often they come, these are no three that agree. */
static void test_no_agreement(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 0, 100000);
    for (uint64_t i = 0; i < 50; i++) { /* the incumbent between */
        rig_say(&l, (struct rig_message){.seq = i}, BIN);
        rig_say(&l, (struct rig_message){.seq = i + 1}, BIN);
        say(&l, 0, 100001 + i, BIN);
    }
    check(&l, 51, 100, 0, 0);
    for (uint64_t i = 0; i < 50; i++)
        rig_say(&l, (struct rig_message){.seq = 7}, BIN); /* the same again */
    for (uint64_t i = 0; i < 50; i++) rig_say(&l, (struct rig_message){.seq = i << 40}, BIN);
    for (uint64_t i = 50; i > 0; i--) rig_say(&l, (struct rig_message){.seq = 40000 + i}, BIN);
    check(&l, 51, 250, 0, 0);
    say(&l, 0, 100051, BIN);
    assert_int_equal(rig_last(&l)->frame.values.flags & (LATENT_GAP | LATENT_RESET), 0);
    rig_close(&l);
}

/* Messages count, not bins; all bins of one share its fate, and a restart begins with the first
 * that the decoder can take. */
static void test_batches(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 0, 5000);
    rig_say(&l, (struct rig_message){.seq = 0, .n_bins = 8}, 8 * BIN);
    rig_say(&l, (struct rig_message){.seq = 8, .n_bins = 8}, 8 * BIN);
    check(&l, 1, 16, 0, 0);
    rig_say(&l, (struct rig_message){.seq = 16, .count = NAN}, BIN);
    check(&l, 1, 16, 0, 0);
    assert_int_equal(rig_counter(&l, BINS_REFUSED_VALUE), 1);
    rig_say(&l, (struct rig_message){.seq = 17, .n_bins = 8}, BIN);
    check(&l, 9, 16, 0, 1);
    assert_int_equal(rig_counter(&l, SEQUENCE_LOST), 0);
    rig_close(&l);
}

/* The first of all may be the wild one. */
static void test_wild_beginning(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 1, (uint64_t)1 << 63);
    for (uint64_t seq = 0; seq < 4; seq++) say(&l, 1, seq, BIN);
    check(&l, 3, 2, 0, 1);
    rig_close(&l);
}

/* ---- epochs ---- */

static void test_epoch_after_silence(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 1, 5000);
    l.now_ns += 2 * BIN - 1; /* 60 ms but 1 ns since the last of epoch 1 */
    say(&l, 2, 0, 1);
    check(&l, 1, 0, 1, 0);
    say(&l, 2, 1, BIN);
    check(&l, 2, 0, 1, 1);
    rig_close(&l);
}

static void test_epoch_by_agreement(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 1, 5000);
    l.now_ns -= BIN;
    for (uint64_t seq = 0; seq < 3; seq++) say(&l, 2, seq, BIN);
    check(&l, 2, 0, 2, 1);
    rig_close(&l);
}

/* The epoch before is no new one: silence does not bring it back, agreement does. */
static void test_epoch_before(void **state)
{
    struct rig l;
    (void)state;
    open_at(&l, 1, 5000);
    l.now_ns += HOUR_NS;
    say(&l, 2, 0, HOUR_NS);
    say(&l, 1, 5001, HOUR_NS);
    check(&l, 2, 0, 1, 1);
    for (uint64_t seq = 5002; seq < 5005; seq++) say(&l, 1, seq, BIN);
    check(&l, 4, 0, 2, 2);
    rig_close(&l);
}

/* What is refused does not prolong the lease. */
static void test_lease_runs(void **state)
{
    struct line_options options = rig_options();
    struct rig l;
    (void)state;
    options.policy.lease_ns = 200 * MS;
    options.policy.on_missing = ON_MISSING_SKIP;
    options.valid_for_ns = 100 * MS;
    rig_open(&l, maker_kalman(), NULL, &options);
    say(&l, 0, 100000, 0);
    for (uint64_t i = 0; i < 20; i++) {
        rig_say(&l, (struct rig_message){.seq = i << 40}, 0);
        rig_wait(&l, BIN);
    }
    assert_true(rig_last(&l)->frame.values.flags & LATENT_SAFE);
    assert_int_equal(rig_counter(&l, STATE_STATE), LINE_STATE_SAFE_LEASE);
    rig_close(&l);
}

/* Half an agreement is in the snapshot. */
static void test_snapshot(void **state)
{
    struct rig l;
    void *kept;
    size_t n;
    (void)state;
    open_at(&l, 1, 5000);
    say(&l, 1, 0, BIN);
    say(&l, 1, 1, BIN);
    n = line_size(l.line);
    kept = malloc(n);
    assert_int_equal(line_save(l.line, kept, n), 0);
    say(&l, 1, 5001, BIN);
    check(&l, 2, 2, 0, 0);
    assert_int_equal(line_load(l.line, kept, n), 0);
    say(&l, 1, 2, BIN);
    assert_int_equal(rig_last(&l)->frame.seq, 2);
    check(&l, 3, 2, 0, 1);
    free(kept);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wild_numbers),
        cmocka_unit_test(test_farthest_numbers),
        cmocka_unit_test(test_wild_times),
        cmocka_unit_test(test_times_that_can_be),
        cmocka_unit_test(test_time_far_back),
        cmocka_unit_test(test_without_the_rule),
        cmocka_unit_test(test_wrap_is_a_restart),
        cmocka_unit_test(test_clock_is_set),
        cmocka_unit_test(test_agreement_takes_time),
        cmocka_unit_test(test_no_agreement),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_wild_beginning),
        cmocka_unit_test(test_epoch_after_silence),
        cmocka_unit_test(test_epoch_by_agreement),
        cmocka_unit_test(test_epoch_before),
        cmocka_unit_test(test_lease_runs),
        cmocka_unit_test(test_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
