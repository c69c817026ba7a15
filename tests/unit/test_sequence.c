/* Order of bins: every verdict by hand, and long random runs against a whole-history
 * oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line/sequence.h"

static const struct sequence_rules rules = {.window_bins = 16, .max_gap_bins = 25, .fill = true};

static struct sequence started(uint64_t epoch, uint64_t seq)
{
    struct sequence s;
    struct sequence_verdict v;
    sequence_init(&s, &rules);
    sequence_check(&s, epoch, seq, &v);
    assert_int_equal(v.outcome, SEQUENCE_DECODE);
    assert_false(v.reset);
    sequence_apply(&s, &v);
    return s;
}

static struct sequence_verdict take(struct sequence *s, uint64_t epoch, uint64_t seq)
{
    struct sequence_verdict v;
    sequence_check(s, epoch, seq, &v);
    sequence_apply(s, &v);
    return v;
}

static void test_in_order(void **state)
{
    struct sequence s = started(1, 0);
    (void)state;
    for (uint64_t seq = 1; seq < 5000; seq++) {
        struct sequence_verdict v = take(&s, 1, seq);
        assert_int_equal(v.outcome, SEQUENCE_DECODE);
        assert_int_equal(v.n_missing, 0);
        assert_false(v.reset);
    }
    assert_int_equal(s.n_lost + s.n_reordered + s.n_restarts, 0);
}

static void test_check_changes_nothing(void **state)
{
    struct sequence s = started(1, 10), before = s;
    struct sequence_verdict v;
    (void)state;
    sequence_check(&s, 1, 20, &v);
    sequence_check(&s, 2, 0, &v);
    sequence_check(&s, 1, 3, &v);
    assert_memory_equal(&s, &before, sizeof s);
}

static void test_gap_is_filled(void **state)
{
    struct sequence s = started(1, 100);
    struct sequence_verdict v = take(&s, 1, 104);
    (void)state;
    assert_int_equal(v.outcome, SEQUENCE_DECODE);
    assert_int_equal(v.n_missing, 3);
    assert_int_equal(v.n_fill, 3);
    assert_false(v.reset);
    assert_int_equal(s.n_lost, 3);
}

static void test_longest_gap(void **state)
{
    struct sequence s = started(1, 0);
    struct sequence_verdict v = take(&s, 1, 26); /* 25 missing: the most that is filled */
    (void)state;
    assert_int_equal(v.n_fill, 25);
    v = take(&s, 1, 26 + 27); /* 26 missing */
    assert_int_equal(v.n_fill, 0);
    assert_int_equal(v.n_missing, 26);
    assert_true(v.reset);
    assert_false(v.restart);
    assert_int_equal(s.n_lost, 25 + 26);
}

static void test_gap_without_fill(void **state)
{
    struct sequence_rules no_fill = rules;
    struct sequence s;
    struct sequence_verdict v;
    (void)state;
    no_fill.fill = false;
    sequence_init(&s, &no_fill);
    take(&s, 1, 5);
    v = take(&s, 1, 7);
    assert_true(v.reset);
    assert_int_equal(v.n_fill, 0);
    v = take(&s, 1, 6); /* nothing was made for it */
    assert_int_equal(v.outcome, SEQUENCE_STALE);
    assert_int_equal(s.n_lost, 0);
    assert_int_equal(s.n_reordered, 1);
}

static void test_duplicate_and_late(void **state)
{
    struct sequence s = started(1, 50);
    (void)state;
    take(&s, 1, 52);
    assert_int_equal(s.n_lost, 1);
    assert_int_equal(take(&s, 1, 52).outcome, SEQUENCE_DUPLICATE);
    assert_int_equal(take(&s, 1, 50).outcome, SEQUENCE_DUPLICATE);
    assert_int_equal(take(&s, 1, 51).outcome, SEQUENCE_LATE_AFTER_FILL);
    assert_int_equal(s.n_lost, 0);
    assert_int_equal(s.n_reordered, 1);
    assert_int_equal(take(&s, 1, 51).outcome, SEQUENCE_DUPLICATE); /* the second time */
    assert_int_equal(s.n_reordered, 1);
}

static void test_before_the_first_is_stale(void **state)
{
    struct sequence s = started(1, 50);
    (void)state;
    assert_int_equal(take(&s, 1, 49).outcome, SEQUENCE_STALE);
    assert_int_equal(s.n_lost, 0);
    assert_int_equal(s.n_reordered, 0);
}

/* Inside of the window a late bin is reordered, one further it stays lost. */
static void test_window(void **state)
{
    (void)state;
    for (uint64_t behind = 14; behind <= 17; behind++) {
        struct sequence s = started(1, 0);
        bool inside = behind < 16;
        take(&s, 1, 2);
        for (uint64_t seq = 3; seq <= 1 + behind; seq++) take(&s, 1, seq);
        assert_int_equal(take(&s, 1, 1).outcome,
                         inside ? SEQUENCE_LATE_AFTER_FILL : SEQUENCE_STALE);
        assert_int_equal(s.n_lost, inside ? 0 : 1);
        assert_int_equal(s.n_reordered, inside ? 1 : 0);
    }
}

static void test_far_jump(void **state)
{
    struct sequence s = started(1, 7);
    struct sequence_verdict v = take(&s, 1, 7 + 1000000000);
    (void)state;
    assert_true(v.reset);
    assert_int_equal(v.n_fill, 0);
    assert_int_equal(s.n_lost, 999999999);
    assert_int_equal(take(&s, 1, 8 + 1000000000).n_missing, 0);
    assert_int_equal(take(&s, 1, 1000000000).outcome, SEQUENCE_STALE); /* was skipped */
    v = take(&s, 1, UINT64_MAX);
    assert_true(v.reset);
    assert_int_equal(take(&s, 1, UINT64_MAX).outcome, SEQUENCE_DUPLICATE);
}

static void test_new_epoch(void **state)
{
    struct sequence s = started(1, 5000);
    struct sequence_verdict v = take(&s, 2, 3);
    (void)state;
    assert_int_equal(v.outcome, SEQUENCE_DECODE);
    assert_true(v.restart && v.reset);
    assert_int_equal(v.n_missing, 0);
    assert_int_equal(s.n_restarts, 1);
    assert_int_equal(s.n_lost, 0);
    assert_false(take(&s, 2, 4).reset);
    assert_int_equal(take(&s, 2, 2).outcome, SEQUENCE_STALE); /* nothing of before is known */
}

/* What was received before the restart is no duplicate after it. */
static void test_restart_forgets(void **state)
{
    struct sequence s = started(1, 5);
    (void)state;
    take(&s, 1, 6);
    take(&s, 2, 7);
    assert_int_equal(take(&s, 2, 6).outcome, SEQUENCE_STALE);
    assert_int_equal(take(&s, 2, 7).outcome, SEQUENCE_DUPLICATE);
}

/* Stragglers of the old epoch do not bring it back; a source that goes on in it does. */
static void test_old_epoch(void **state)
{
    struct sequence s = started(1, 5000);
    (void)state;
    take(&s, 2, 0);
    for (uint64_t i = 1; i < 100; i++) {
        assert_int_equal(take(&s, 1, 5000 + i).outcome, SEQUENCE_STALE);
        assert_int_equal(take(&s, 1, 5100 + i).outcome, SEQUENCE_STALE);
        assert_int_equal(take(&s, 2, i).outcome, SEQUENCE_DECODE);
    }
    assert_int_equal(s.n_restarts, 1);
    assert_int_equal(take(&s, 1, 6000).outcome, SEQUENCE_STALE);
    assert_int_equal(take(&s, 1, 6001).outcome, SEQUENCE_STALE);
    assert_true(take(&s, 1, 6002).restart);
    assert_int_equal(take(&s, 1, 6003).outcome, SEQUENCE_DECODE);
    assert_int_equal(s.n_restarts, 2);
}

static void test_restart_without_epoch(void **state)
{
    struct sequence s = started(0, 2000);
    (void)state;
    assert_int_equal(take(&s, 0, 976).outcome, SEQUENCE_STALE);   /* 1,024 behind: once */
    assert_int_equal(take(&s, 0, 10).outcome, SEQUENCE_STALE);    /* twice */
    assert_int_equal(take(&s, 0, 2001).outcome, SEQUENCE_DECODE); /* not in a row */
    assert_int_equal(take(&s, 0, 0).outcome, SEQUENCE_STALE);
    assert_int_equal(take(&s, 0, 1).outcome, SEQUENCE_STALE);
    assert_true(take(&s, 0, 2).restart);
    assert_int_equal(take(&s, 0, 3).outcome, SEQUENCE_DECODE);
    assert_int_equal(s.n_restarts, 1);
    assert_int_equal(s.n_lost, 0);
}

static void test_just_far_enough_behind(void **state)
{
    struct sequence s = started(0, 2000);
    (void)state;
    assert_int_equal(take(&s, 0, 976).outcome, SEQUENCE_STALE); /* 1,024 behind */
    assert_int_equal(take(&s, 0, 976).outcome, SEQUENCE_STALE);
    assert_true(take(&s, 0, 976).restart);
}

static void test_near_behind_is_no_restart(void **state)
{
    struct sequence s = started(0, 2000);
    (void)state;
    for (uint64_t seq = 977; seq < 1900; seq++) /* at most 1,023 behind */
        assert_int_equal(take(&s, 0, seq).outcome, SEQUENCE_STALE);
    assert_int_equal(s.n_restarts, 0);
}

/* With an epoch, only the epoch tells of a restart. */
static void test_epoch_rules(void **state)
{
    struct sequence s = started(9, 100000);
    (void)state;
    for (uint64_t seq = 0; seq < 50; seq++)
        assert_int_equal(take(&s, 9, seq).outcome, SEQUENCE_STALE);
    assert_int_equal(s.n_restarts, 0);
}

/* ---- random runs: loss, delay, repetition, jumps; the oracle remembers everything
 * ---- */

enum { N_NUMBERS = 20000 };

struct oracle {
    uint8_t slot[N_NUMBERS]; /* enum sequence_slot */
    uint64_t newest, lost, reordered, filled, resets;
    bool started;
};

static enum sequence_outcome oracle_take(struct oracle *o, uint64_t seq)
{
    if (!o->started || seq > o->newest) {
        uint64_t missing = o->started ? seq - o->newest - 1 : 0;
        bool fill = missing <= rules.max_gap_bins;
        for (uint64_t i = seq - missing; i < seq; i++)
            o->slot[i] = fill ? SLOT_FILLED : SLOT_SKIPPED;
        o->lost += missing;
        o->filled += fill ? missing : 0;
        o->resets += !fill;
        o->newest = seq;
        o->started = true;
        o->slot[seq] = SLOT_RECEIVED;
        return SEQUENCE_DECODE;
    }
    if (o->newest - seq >= rules.window_bins) return SEQUENCE_STALE;
    if (o->slot[seq] == SLOT_RECEIVED) return SEQUENCE_DUPLICATE;
    if (o->slot[seq] == SLOT_UNKNOWN) return SEQUENCE_STALE;
    o->lost--;
    o->reordered++;
    enum sequence_outcome outcome =
        o->slot[seq] == SLOT_FILLED ? SEQUENCE_LATE_AFTER_FILL : SEQUENCE_STALE;
    o->slot[seq] = SLOT_RECEIVED;
    return outcome;
}

static uint64_t draw(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

/* A walk that mostly steps ahead by one, sometimes jumps, and sometimes looks back. */
static void run_random(uint64_t seed)
{
    struct oracle *o = calloc(1, sizeof *o);
    struct sequence s;
    uint64_t at = 5, filled = 0, resets = 0;
    assert_non_null(o);
    sequence_init(&s, &rules);
    while (at + 60 < N_NUMBERS) {
        uint64_t kind = draw(&seed, 20), seq = at;
        struct sequence_verdict v;
        if (kind == 0) seq = at += draw(&seed, 50);
        if (kind < 5 && kind > 0) seq = at - draw(&seed, at < 40 ? at : 40);
        v = take(&s, 3, seq);
        assert_int_equal(v.outcome, oracle_take(o, seq));
        filled += v.n_fill;
        resets += v.reset;
        at++;
    }
    assert_int_equal(s.n_lost, o->lost);
    assert_int_equal(s.n_reordered, o->reordered);
    assert_int_equal(filled, o->filled);
    assert_int_equal(resets, o->resets);
    assert_true(o->lost && o->reordered && o->filled && o->resets);
    free(o);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) run_random(seed);
}

/* ---- frames made ahead of their bins ---- */

static void test_advance(void **state)
{
    struct sequence s = started(1, 10);
    struct sequence_verdict v;
    (void)state;
    assert_true(sequence_advance(&s) && sequence_advance(&s));
    assert_int_equal(s.newest, 12);
    assert_int_equal(s.n_lost, 2);
    v = take(&s, 1, 11);
    assert_int_equal(v.outcome, SEQUENCE_LATE_AFTER_FILL);
    assert_int_equal(s.n_lost, 1);
    assert_int_equal(s.n_reordered, 1);
    v = take(&s, 1, 13);
    assert_int_equal(v.outcome, SEQUENCE_DECODE);
    assert_int_equal(v.n_missing, 0);
    assert_true(v.after_gap && !v.reset);
    assert_false(take(&s, 1, 14).after_gap);
}

/* The gap is what did not come, whether or not frames were made for it. */
static void test_advance_is_part_of_the_gap(void **state)
{
    struct sequence s = started(1, 0), longer;
    struct sequence_verdict v;
    (void)state;
    for (int i = 0; i < 10; i++) assert_true(sequence_advance(&s));
    longer = s;
    v = take(&s, 1, 26); /* 25 did not come */
    assert_false(v.reset);
    assert_int_equal(v.n_fill, 15);
    v = take(&longer, 1, 27);
    assert_true(v.reset);
    assert_int_equal(v.n_fill, 0);
}

static void test_advance_is_bounded(void **state)
{
    struct sequence s = started(1, 0), last = started(1, UINT64_MAX);
    (void)state;
    for (int i = 0; i < 25; i++) assert_true(sequence_advance(&s));
    assert_false(sequence_advance(&s));
    assert_int_equal(s.newest, 25);
    assert_false(sequence_advance(&last));
    take(&s, 2, 0); /* a restart is a new beginning */
    assert_true(sequence_advance(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_check_changes_nothing),
        cmocka_unit_test(test_gap_is_filled),
        cmocka_unit_test(test_longest_gap),
        cmocka_unit_test(test_gap_without_fill),
        cmocka_unit_test(test_duplicate_and_late),
        cmocka_unit_test(test_before_the_first_is_stale),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_far_jump),
        cmocka_unit_test(test_new_epoch),
        cmocka_unit_test(test_restart_forgets),
        cmocka_unit_test(test_old_epoch),
        cmocka_unit_test(test_restart_without_epoch),
        cmocka_unit_test(test_just_far_enough_behind),
        cmocka_unit_test(test_near_behind_is_no_restart),
        cmocka_unit_test(test_epoch_rules),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_advance),
        cmocka_unit_test(test_advance_is_part_of_the_gap),
        cmocka_unit_test(test_advance_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
