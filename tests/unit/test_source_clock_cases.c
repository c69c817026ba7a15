/* The clock of a source, case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "line/source_clock.h"

#define US ((uint64_t)1000)
#define MS (1000 * US)
#define S (1000 * MS)

static uint64_t seed;

static uint64_t chance_below(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 11) % n;
}

/* ---- by hand: bins of 20 ms that take 1 ms each ---- */

#define BIN_NS (20 * MS)

struct by_hand {
    struct source_clock clock;
    uint64_t seq, t_ns, apart_ns, way_ns; /* apart: here less there */
};

static struct by_hand by_hand(uint64_t apart_ns)
{
    struct by_hand h = {.t_ns = 100 * S, .apart_ns = apart_ns, .way_ns = MS};

    source_clock_init(&h.clock);
    return h;
}

static void say(struct by_hand *h, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        h->t_ns += BIN_NS;
        source_clock_on_message(&h->clock, BIN_NS, h->seq++, h->t_ns - h->apart_ns,
                                h->t_ns + h->way_ns);
    }
}

/* The source's next bin takes longer by so many millionths. */
static void run_off(struct by_hand *h, int64_t ppm)
{
    uint64_t ns = (uint64_t)((int64_t)(BIN_NS / 1000000) * ppm);

    h->t_ns += ns;
    h->apart_ns += ns;
}

/* How old the newest bin is when it is seen, by the estimate. */
static uint64_t age_ns(const struct by_hand *h)
{
    return h->t_ns + h->way_ns - source_clock_here_ns(&h->clock, h->t_ns - h->apart_ns);
}

/* Known at the first bin of the eleventh cell. */
static void test_learning(void **state)
{
    struct by_hand h = by_hand(7 * S);
    const uint64_t first_ns = 1000 * (uint64_t)SOURCE_CLOCK_CELL_NS;

    (void)state;
    h.t_ns = first_ns - BIN_NS - h.way_ns;
    for (say(&h, 1); h.t_ns + h.way_ns < first_ns + 10 * SOURCE_CLOCK_CELL_NS; say(&h, 1))
        assert_false(source_clock_is_known(&h.clock));
    assert_true(source_clock_is_known(&h.clock));
    assert_int_equal(age_ns(&h), 0);
    assert_false(h.clock.has_drift);
    say(&h, 2000);
    assert_true(h.clock.has_drift);
    assert_int_equal(h.clock.drift_ppb, 0);
}

/* Whatever the numbers are, they wrap together. */
static void test_wrap(void **state)
{
    const uint64_t apart[] = {0, 1, UINT64_MAX, 100 * S + 30 * S, (uint64_t)1 << 63};

    (void)state;
    for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++) {
        struct by_hand h = by_hand(apart[i]);

        h.seq = UINT64_MAX - 1000;
        say(&h, 4000);
        assert_true(source_clock_is_known(&h.clock));
        assert_int_equal(age_ns(&h), 0);
        assert_true(source_clock_uncertainty_ns(&h.clock) < 100 * US);
    }
}

/* What all bins wait shows, however long it lasts: in ten minutes at most 6 ms of it are forgotten,
 * and told as uncertain; and it is gone with it. */
static void test_standing_queue(void **state)
{
    struct by_hand h = by_hand(S);

    (void)state;
    say(&h, 10000);
    h.way_ns = 101 * MS;
    for (int i = 0; i < 30000; i++) {
        say(&h, 1);
        assert_in_range(age_ns(&h), 94 * MS, 100 * MS);
        assert_true(age_ns(&h) + source_clock_uncertainty_ns(&h.clock) >= 100 * MS);
    }
    h.way_ns = MS;
    say(&h, 3);
    assert_int_equal(age_ns(&h), 0);
    assert_int_equal(h.clock.n_steps, 0);
}

/* A clock that is set makes no bin old, and is learnt anew. */
static void test_steps(void **state)
{
    const int64_t step[] = {-3600 * (int64_t)S, -30 * (int64_t)MS, -2 * (int64_t)MS,
                            25 * (int64_t)MS, 3600 * (int64_t)S};

    (void)state;
    for (size_t i = 0; i < sizeof step / sizeof step[0]; i++) {
        struct by_hand h = by_hand(S);

        say(&h, 3000);
        h.apart_ns -= (uint64_t)step[i];
        say(&h, 2);
        assert_true(source_clock_is_known(&h.clock));
        say(&h, 1);
        assert_false(source_clock_is_known(&h.clock));
        assert_int_equal(h.clock.n_steps, 1);
        say(&h, 200);
        assert_true(source_clock_is_known(&h.clock));
        assert_int_equal(age_ns(&h), 0);
    }
}

/* One message, or two, whose time is wrong change nothing. */
static void test_glitch(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < SOURCE_CLOCK_PERSISTS; n++)
        for (int sign = -1; sign <= 1; sign += 2) {
            struct by_hand h = by_hand(S);

            say(&h, 3000);
            h.apart_ns += (uint64_t)sign * 300 * MS;
            say(&h, n);
            h.apart_ns -= (uint64_t)sign * 300 * MS;
            for (int i = 0; i < 2000; i++) {
                say(&h, 1);
                assert_int_equal(age_ns(&h), 0);
            }
        }
}

/* A source that stops and goes on, with the next number, is not late; after two minutes it is
 * learnt anew. */
static void test_pause(void **state)
{
    (void)state;
    for (uint64_t pause_s = 1; pause_s < 300; pause_s += 59) {
        struct by_hand h = by_hand(S);

        say(&h, 3000);
        h.t_ns += pause_s * S;
        for (int i = 0; i < 3000; i++) {
            say(&h, 1);
            assert_int_equal(source_clock_is_known(&h.clock),
                             pause_s < 120 || h.clock.n_cells == 10);
            assert_int_equal(age_ns(&h), 0);
        }
    }
}

/* As fast as it can, with the times of a steady pace: they are nobody's clock. */
static void test_full_speed(void **state)
{
    struct by_hand h = by_hand(S);

    (void)state;
    for (int i = 0; i < 100000; i++) {
        source_clock_on_message(&h.clock, BIN_NS, h.seq, 10 * S + h.seq * BIN_NS, h.t_ns += MS);
        h.seq++;
        assert_false(source_clock_is_known(&h.clock));
    }
}

/* A program that counts its bins and sleeps in between: its times run as no clock does. */
static void test_made_up_times(void **state)
{
    const int ppm[] = {-20000, -5000, -1000, 1000, 5000, 20000, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof ppm / sizeof ppm[0]; i++) {
        struct by_hand h = by_hand(7 * S);
        uint64_t n_known = 0;

        seed = 5;
        for (int n = 0; n < 30000; n++) {
            run_off(&h, ppm[i]);
            h.way_ns = MS + chance_below(300 * US);
            say(&h, 1);
            n_known += source_clock_is_known(&h.clock);
        }
        assert_in_range(n_known, 0, S / BIN_NS); /* of 600 s */
        assert_true(h.clock.is_no_clock && !h.clock.has_drift);
        say(&h, 10000); /* by a clock: what is in the cells has to go first */
        assert_true(source_clock_is_known(&h.clock) && h.clock.has_drift);
    }
}

/* A clock that stands while its source pauses: taken for what it is beyond a second. */
static void test_clock_that_stood(void **state)
{
    const uint64_t pause_ms[] = {30, 500, 1500, 10000, 60000};

    (void)state;
    for (size_t i = 0; i < sizeof pause_ms / sizeof pause_ms[0]; i++) {
        struct by_hand h = by_hand(7 * S);
        uint64_t left_ms = pause_ms[i] < 1000 ? pause_ms[i] : 0;

        say(&h, 3000);
        h.t_ns += pause_ms[i] * MS;
        h.apart_ns += pause_ms[i] * MS;
        say(&h, 100); /* 2 s */
        assert_in_range(age_ns(&h) / MS, pause_ms[i] - 1, pause_ms[i]);
        say(&h, 300);
        assert_true(source_clock_is_known(&h.clock));
        assert_in_range(age_ns(&h) / MS + 1, left_ms, left_ms + 1);
    }
}

/* All that waited catches up: the line stands. */
static void test_backlog_is_no_pause(void **state)
{
    struct by_hand h = by_hand(7 * S);

    (void)state;
    say(&h, 3000);
    for (h.way_ns = 10 * S; h.way_ns > BIN_NS; h.way_ns -= BIN_NS - 2 * MS) { /* 2 ms apart */
        say(&h, 1);
        assert_true(source_clock_is_known(&h.clock));
        assert_in_range(age_ns(&h) + MS, h.way_ns - MS / 2, h.way_ns + MS / 2);
    }
}

/* The fastest and slowest clocks there are; and one that is known, when its bins begin to queue. */
static void test_clocks_are_clocks(void **state)
{
    (void)state;
    for (int ppm = -400; ppm <= 400; ppm += 100) {
        struct by_hand h = by_hand(7 * S);
        uint64_t n_unknown = 0, queue_ns = 0;

        seed = 6;
        for (int n = 0; n < 30000; n++) {
            run_off(&h, ppm);
            if (n > 6000 && n < 25000) queue_ns += 5000 * (BIN_NS / 1000000);
            h.way_ns = MS + chance_below(300 * US) + queue_ns;
            say(&h, 1);
            n_unknown += !source_clock_is_known(&h.clock);
            if (n == 6000) assert_true(h.clock.has_drift);
        }
        assert_int_equal(h.clock.n_steps, 0);
        assert_in_range(n_unknown, 1, 3 * S / BIN_NS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_standing_queue),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_glitch),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_full_speed),
        cmocka_unit_test(test_clock_that_stood),
        cmocka_unit_test(test_backlog_is_no_pause),
        cmocka_unit_test(test_made_up_times),
        cmocka_unit_test(test_clocks_are_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
