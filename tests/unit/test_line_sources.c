/* Two sources that send as one stream are named, and one source with faults of its own is not. Bins
 * of 20 ms, max-jump 500 bins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "line_fixture.h"

#define MS ((uint64_t)1000000)
#define BIN ((uint64_t)RIG_BIN_NS)
#define HOUR_NS (3600000 * MS)
#define START_NS (9 * HOUR_NS) /* of the source's clock */

static uint64_t named(const struct rig *l)
{
    struct sources_seen seen;
    line_read_sources(l->line, &seen);
    return seen.n;
}

/* n bins that come twice, the second time with other counts, time or event (what: 0, 1, 2; 3:
 * nothing is other), one each pause. */
static uint64_t named_after(size_t n, int what, uint64_t pause_ns, uint32_t safe_exit)
{
    struct line_options options = rig_options();
    uint64_t n_named;
    struct rig l;
    options.policy.safe_exit_bins = safe_exit;
    rig_open(&l, maker_kalman(), NULL, &options);
    for (size_t i = 0; i < n; i++) {
        struct rig_message m = {
            .seq = i, .t_source_ns = START_NS + i * BIN, .count = 1, .event_id = 5};
        rig_say(&l, m, 0);
        m.count += what == 0;
        m.t_source_ns += what == 1;
        m.event_id += what == 2;
        rig_say(&l, m, pause_ns);
    }
    assert_int_equal(rig_counter(&l, BINS_DECODED), n);
    assert_int_equal(rig_counter(&l, BINS_DUPLICATE), n);
    n_named = named(&l);
    rig_close(&l);
    return n_named;
}

static void test_other_contents(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        assert_int_equal(named_after(10, what, BIN, 10), 0);
        assert_int_equal(named_after(11, what, BIN, 10), 11);
        assert_int_equal(named_after(30, what, BIN, 10), 30);
    }
    assert_int_equal(named_after(11, 0, 100 * MS, 10), 11); /* in a second */
    assert_int_equal(named_after(100, 0, 100 * MS + 1, 10), 0);
    assert_int_equal(named_after(100, 3, BIN, 10), 0); /* the same again */
    assert_int_equal(named_after(10, 0, BIN, 0), 0);   /* safe-exit = operator */
    assert_int_equal(named_after(11, 0, BIN, 0), 11);
}

/* What was decoded first stands, and what came first is told by its frame. */
static void test_first_stands(void **state)
{
    struct rig l;
    (void)state;
    rig_open(&l, maker_kalman(), NULL, NULL);
    for (uint64_t i = 0; i < 40; i++) {
        bool swaps = i / 7 % 2;
        rig_say(&l, (struct rig_message){.seq = i, .count = 1, .event_id = swaps ? 2 : 1}, 0);
        rig_say(&l, (struct rig_message){.seq = i, .count = 5, .event_id = swaps ? 1 : 2}, BIN);
        assert_int_equal(rig_last(&l)->frame.event_id, swaps ? 2 : 1);
    }
    assert_int_equal(named(&l), 40);
    rig_close(&l);
}

/* By turns: epochs, far numbers, far times. Each turn has n messages. */
static uint64_t named_by_turns(const struct rig_message *other, size_t n, size_t n_turns)
{
    struct line_options options = rig_options();
    struct rig l;
    uint64_t n_named;
    options.policy.safe_exit_bins = 10;
    rig_open(&l, maker_kalman(), NULL, &options);
    for (size_t i = 0; i < n * n_turns; i++) {
        struct rig_message m = {.epoch = 6, .seq = i, .t_source_ns = START_NS + i * BIN};
        if (i / n % 2) {
            m = *other;
            m.seq += i;
            if (m.t_source_ns) m.t_source_ns += i * BIN;
        }
        rig_say(&l, m, 1 * MS);
    }
    n_named = named(&l);
    rig_close(&l);
    return n_named;
}

static void test_by_turns(void **state)
{
    const struct rig_message epoch = {.epoch = 7}, far = {.epoch = 6, .seq = 1000000},
                             clock = {.epoch = 6, .t_source_ns = START_NS + HOUR_NS};
    (void)state;
    assert_true(named_by_turns(&epoch, 1, 40) > 0);
    assert_true(named_by_turns(&far, 1, 40) > 0);
    assert_true(named_by_turns(&clock, 1, 40) > 0);
    assert_true(named_by_turns(&epoch, 5, 8) > 0);
    assert_int_equal(named_by_turns(&epoch, 5, 2), 0); /* a restart */
    assert_int_equal(named_by_turns(&epoch, 1, 10), 0);
    assert_int_equal(named_by_turns(&epoch, 1, 1), 0);
}

/* Out of step by any number: named at the latest when one gets to where the other was. */
static void test_out_of_step(void **state)
{
    const uint64_t ahead[] = {1, 5, 20, 30, 300, 700, 100000};
    (void)state;
    for (size_t k = 0; k < sizeof ahead / sizeof ahead[0]; k++) {
        struct line_options options = rig_options();
        struct rig l;
        options.policy.safe_exit_bins = 10;
        rig_open(&l, maker_kalman(), NULL, &options);
        for (uint64_t i = 0; i < ahead[k] % 500 + 20 && !named(&l); i++) {
            rig_say(&l, (struct rig_message){.seq = 5000 + i, .count = 1}, BIN / 2);
            rig_say(&l, (struct rig_message){.seq = 5000 + i + ahead[k], .count = 2}, BIN / 2);
        }
        assert_true(named(&l) > 10);
        assert_int_equal(rig_counter(&l, SEQUENCE_RESTARTS), 0);
        rig_close(&l);
    }
}

/* One source with faults of its own is one: wild numbers now and then, restarts, repeats. */
static void test_one_source(void **state)
{
    struct line_options options = rig_options();
    struct rig l;
    (void)state;
    options.policy.safe_exit_bins = 10;
    rig_open(&l, maker_kalman(), NULL, &options);
    for (uint64_t i = 0; i < 1000; i++) {
        rig_say(&l, (struct rig_message){.epoch = 1 + i / 300, .seq = i, .count = 1}, 0);
        rig_say(&l, (struct rig_message){.epoch = 1 + i / 300, .seq = i - i % 3, .count = 1}, BIN);
        if (i % 60 == 0)
            rig_say(&l,
                    (struct rig_message){.epoch = 1, .seq = i ^ (uint64_t)1 << i % 64, .count = 2},
                    0);
        if (i % 300 == 299) l.now_ns += 60 * MS;
    }
    assert_int_equal(named(&l), 0);
    rig_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_contents), cmocka_unit_test(test_first_stands),
        cmocka_unit_test(test_by_turns),       cmocka_unit_test(test_out_of_step),
        cmocka_unit_test(test_one_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
