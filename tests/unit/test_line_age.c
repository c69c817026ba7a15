/* What frames say of the age of their bins, and what it decides: bins of 20 ms, max-age 40 ms,
 * budget 5 ms; the clock of this machine has the id 77. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "line_fixture.h"

#define MS ((uint64_t)1000000)
#define OURS 77
#define ELSEWHERE 78

enum { KNOWN_AFTER = 130 }; /* bins: 10 cells and more */

struct source {
    struct rig rig;
    uint64_t seq, apart_ns; /* apart: our clock less its own */
    uint64_t clock_id;
};

static void open_source(struct source *s, enum line_source_clock how, uint64_t min_delay_ns)
{
    struct line_options options = rig_options();

    options.source_clock = how;
    options.min_delay_ns = min_delay_ns;
    options.policy.max_age_ns = 40 * MS;
    *s = (struct source){.apart_ns = 0};
    rig_open(&s->rig, maker_kalman(), NULL, &options);
    s->rig.now_ns = 100 * 1000 * MS;
}

/* n_bins in one message, the last of which ended so long before it arrives. */
static void say(struct source *s, size_t n_bins, uint64_t age_ns)
{
    struct rig *l = &s->rig;
    uint64_t t_end_ns = l->now_ns - age_ns - s->apart_ns;

    rig_say(l,
            (struct rig_message){.epoch = 1,
                                 .seq = s->seq,
                                 .t_source_ns = t_end_ns - (n_bins - 1) * RIG_BIN_NS,
                                 .n_bins = n_bins,
                                 .count = 1.0f,
                                 .clock_id = s->clock_id},
            n_bins * RIG_BIN_NS);
    s->seq += n_bins;
}

/* One that arrives later than the others do: 1 ms after its end. */
static void say_late(struct source *s, uint64_t late_ns)
{
    s->rig.now_ns += late_ns;
    say(s, 1, MS + late_ns);
    s->rig.now_ns -= late_ns;
}

static void say_many(struct source *s, size_t n, uint64_t age_ns)
{
    for (size_t i = 0; i < n; i++) say(s, 1, age_ns);
}

static void assert_age(const struct kept_frame *k, uint64_t age_ns)
{
    assert_false(k->frame.values.flags & LATENT_AGE_UNKNOWN);
    assert_int_equal(k->frame.age_ns, age_ns);
}

static void assert_no_age(const struct kept_frame *k)
{
    assert_true(k->frame.values.flags & LATENT_AGE_UNKNOWN);
    assert_int_equal(k->frame.age_ns, 0);
}

static struct source_clock_seen seen(const struct source *s)
{
    struct source_clock_seen seen;

    line_read_source_clock(s->rig.line, &seen);
    return seen;
}

/* From the first bin on, to the nanosecond, each of a message its own, however many there are. */
static void test_exact(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, SOURCE_CLOCK_AUTO, 3 * MS);
    s.clock_id = OURS;
    assert_int_equal(seen(&s).state, SOURCE_CLOCK_WAITING);
    say(&s, 1, 3 * MS + 7);
    assert_age(rig_last(&s.rig), 3 * MS + 7);
    assert_int_equal(seen(&s).state, SOURCE_CLOCK_EXACT);
    say(&s, 3, 2 * MS);
    for (size_t i = 0; i < 2; i++)
        assert_age(&s.rig.frames[s.rig.n_frames - 1 - i], i * RIG_BIN_NS + 2 * MS);
    assert_int_equal(rig_counter(&s.rig, FRAMES_SUPPRESSED_AGE), 1); /* 42 ms: the first of three */
    say_many(&s, KNOWN_AFTER, 4 * MS);
    assert_age(rig_last(&s.rig), 4 * MS);
    rig_close(&s.rig);
}

/* Of another clock: unknown until it is learnt, then to what its bins take at least. */
static void test_estimated(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, SOURCE_CLOCK_AUTO, 300000);
    s.clock_id = ELSEWHERE;
    s.apart_ns = 50 * 1000 * MS;
    for (size_t i = 0; i < 100; i++) {
        say(&s, 1, MS);
        assert_no_age(rig_last(&s.rig));
    }
    assert_int_equal(seen(&s).state, SOURCE_CLOCK_LEARNING_IT);
    assert_int_equal(seen(&s).uncertainty_ns, 0);
    say_many(&s, KNOWN_AFTER - 100, MS);
    assert_age(rig_last(&s.rig), 300000);
    assert_int_equal(seen(&s).state, SOURCE_CLOCK_ESTIMATED);
    assert_int_equal(seen(&s).offset_ns, s.apart_ns + MS);
    assert_true(seen(&s).uncertainty_ns > 0);
    say_late(&s, 4 * MS);
    assert_age(rig_last(&s.rig), 300000 + 4 * MS);
    assert_flags_known(rig_last(&s.rig), 0);
    say_late(&s, 5 * MS);
    assert_age(rig_last(&s.rig), 300000 + 5 * MS);
    assert_flags_known(rig_last(&s.rig), LATENT_LATE);
    assert_int_equal(rig_last(&s.rig)->frame.budget_left_ns, -300000);
    s.rig.now_ns += 2 * RIG_BIN_NS; /* so that time does not run backwards */
    s.seq += 2;
    say_late(&s, 40 * MS);
    assert_int_equal(rig_counter(&s.rig, FRAMES_SUPPRESSED_AGE), 1);
    assert_int_equal(rig_counter(&s.rig, STATE_BUDGET_MISSES), 0); /* those are since arrival */
    rig_close(&s.rig);
}

/* A source that paused and goes on with the next number is old by its pace, not by its clock. */
static void test_pause(void **state)
{
    (void)state;
    for (int known = 0; known <= 1; known++) {
        struct source s;

        open_source(&s, known ? SOURCE_CLOCK_AUTO : SOURCE_CLOCK_OFF, 0);
        s.apart_ns = 9;
        say_many(&s, KNOWN_AFTER, MS);
        s.rig.now_ns += 50 * MS; /* less than would be missing */
        say(&s, 1, MS);
        assert_int_equal(rig_counter(&s.rig, FRAMES_SUPPRESSED_AGE), known ? 0 : 1);
        if (known) assert_age(rig_last(&s.rig), 0);
        rig_close(&s.rig);
    }
}

/* Frames for bins that did not come, and frames without a bin, say the age of their number. */
static void test_without_a_bin(void **state)
{
    struct source s;
    size_t n;

    (void)state;
    open_source(&s, SOURCE_CLOCK_AUTO, 0);
    s.clock_id = OURS;
    say_many(&s, 3, MS);
    s.seq++;
    s.rig.now_ns += RIG_BIN_NS;
    n = s.rig.n_frames;
    say(&s, 1, MS);
    assert_int_equal(s.rig.n_frames, n + 2);
    assert_true(s.rig.frames[n].frame.values.flags & LATENT_FILLED);
    assert_int_equal(s.rig.frames[n].frame.t_source_ns, 0);
    assert_age(&s.rig.frames[n], RIG_BIN_NS + MS);
    assert_age(&s.rig.frames[n + 1], MS);
    rig_wait(&s.rig, 40 * MS); /* to the frame that takes the place of one that is missing */
    assert_true(rig_last(&s.rig)->frame.values.flags & LATENT_HELD);
    assert_age(rig_last(&s.rig), 60 * MS + MS);
    rig_close(&s.rig);
}

/* A claim that cannot be is named, and the clock estimated: the frames are those of any clock. */
static void test_false_claim(void **state)
{
    const uint64_t apart_ns[] = {1, 10 * 1000 * MS + 1, 3600 * 1000 * MS};

    (void)state;
    for (size_t i = 0; i < sizeof apart_ns / sizeof apart_ns[0]; i++) {
        struct misfit_seen misfit;
        struct source s;

        open_source(&s, i == 1 ? SOURCE_CLOCK_MONOTONIC : SOURCE_CLOCK_AUTO, 0);
        s.clock_id = i == 1 ? 0 : OURS;
        s.apart_ns = i == 0 ? 0 - apart_ns[i] : apart_ns[i]; /* it ends in a nanosecond; ... */
        say(&s, 1, 0);
        assert_no_age(rig_last(&s.rig));
        line_read_misfit(s.rig.line, MISFIT_CLOCK, &misfit);
        assert_int_equal(misfit.n, 1);
        assert_int_equal(misfit.expected - misfit.found, s.apart_ns);
        say_many(&s, KNOWN_AFTER, 0);
        assert_age(rig_last(&s.rig), 0);
        assert_int_equal(rig_counter(&s.rig, BINS_DECODED), 1 + KNOWN_AFTER);
        rig_close(&s.rig);
    }
}

static void test_bounds_of_a_claim(void **state)
{
    struct misfit_seen misfit;
    struct source s;

    (void)state;
    open_source(&s, SOURCE_CLOCK_MONOTONIC, 0);
    say(&s, 1, 0);
    assert_age(rig_last(&s.rig), 0);
    say(&s, 1, 10 * 1000 * MS); /* suppressed: it is believed */
    assert_int_equal(rig_counter(&s.rig, FRAMES_SUPPRESSED_AGE), 1);
    line_read_misfit(s.rig.line, MISFIT_CLOCK, &misfit);
    assert_int_equal(misfit.n, 0);
    rig_close(&s.rig);
}

/* No time is told: never known, and said so. */
static void test_unstamped(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, SOURCE_CLOCK_MONOTONIC, 0);
    for (uint64_t i = 0; i < KNOWN_AFTER; i++) {
        rig_say(&s.rig, (struct rig_message){.epoch = 1, .seq = i, .count = 1.0f}, RIG_BIN_NS);
        assert_no_age(rig_last(&s.rig));
    }
    assert_int_equal(seen(&s).state, SOURCE_CLOCK_UNSTAMPED);
    rig_close(&s.rig);
}

/* Another start of the source, with another clock: it is learnt anew. */
static void test_restart(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, SOURCE_CLOCK_AUTO, 0);
    s.apart_ns = 50 * 1000 * MS;
    say_many(&s, KNOWN_AFTER, MS);
    assert_age(rig_last(&s.rig), 0);
    s.rig.now_ns += 100 * MS; /* missing: a new epoch is believed */
    rig_say(&s.rig,
            (struct rig_message){.epoch = 2, .seq = 0, .t_source_ns = 1000 * MS, .count = 1.0f},
            RIG_BIN_NS);
    assert_int_equal(rig_last(&s.rig)->frame.epoch, 2);
    assert_no_age(rig_last(&s.rig));
    rig_close(&s.rig);
}

/* A message that comes while another has its step bears the stamp of the wake before it: it did
 * not come before its end for that. */
static void test_stamp_before_its_end(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, SOURCE_CLOCK_AUTO, 0);
    s.clock_id = OURS;
    say(&s, 1, MS);
    s.rig.tick_ns = 2 * MS; /* each look at the clock is so much later */
    say(&s, 1, 0);          /* ends when it arrives */
    assert_age(rig_last(&s.rig), 2 * MS);
    rig_close(&s.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_estimated),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_without_a_bin),
        cmocka_unit_test(test_false_claim),
        cmocka_unit_test(test_bounds_of_a_claim),
        cmocka_unit_test(test_unstamped),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_stamp_before_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
