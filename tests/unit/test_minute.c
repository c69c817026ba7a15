/* What the last minute held, on a virtual clock; and the newest frame as people see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "line/minute.h"
#include "line_fixture.h"

#define S 1000000000ull
#define BINS_PER_S 50

struct view {
    struct rig rig;
    struct minute *minute;
    uint64_t seq;
};

static void view_open(struct view *v)
{
    v->seq = 0;
    rig_open(&v->rig, maker_kalman(), NULL, NULL);
    v->minute = calloc(1, sizeof *v->minute);
    assert_non_null(v->minute);
    minute_look(v->minute, v->rig.line, v->rig.now_ns);
}

static void view_close(struct view *v)
{
    free(v->minute);
    rig_close(&v->rig);
}

/* So many seconds of bins, each as late as said; the control thread looks four times a second. */
static void play(struct view *v, unsigned seconds, uint64_t step_ns)
{
    for (unsigned i = 0; i < seconds * BINS_PER_S; i++) {
        v->rig.tick_ns = step_ns;
        rig_send(&v->rig, 1, v->seq++, 1, 0.0f);
        v->rig.tick_ns = 0;
        v->rig.now_ns = (v->rig.now_ns / RIG_BIN_NS + 1) * RIG_BIN_NS;
        if (i % 12 == 0) minute_look(v->minute, v->rig.line, v->rig.now_ns);
    }
}

static struct minute_values read_minute(const struct view *v)
{
    struct minute_values m;

    minute_read(v->minute, v->rig.line, v->rig.now_ns, &m);
    return m;
}

static void test_since_the_start(void **state)
{
    struct minute_values m;
    struct view v;
    (void)state;
    view_open(&v);
    m = read_minute(&v);
    assert_int_equal(m.span_ns, 0);
    assert_int_equal(m.counts.value[BINS_DECODED], 0);
    assert_int_equal(m.times[TIME_LATENCY].n, 0);
    play(&v, 7, 1000);
    m = read_minute(&v);
    assert_int_equal(m.span_ns, 7 * S);
    assert_int_equal(m.counts.value[BINS_DECODED], 7 * BINS_PER_S);
    assert_int_equal(m.times[TIME_LATENCY].n, 7 * BINS_PER_S);
    view_close(&v);
}

/* A slow hour ago does not show any more; a slow second does for a minute. */
static void test_the_past_is_forgotten(void **state)
{
    struct minute_values m;
    struct view v;
    (void)state;
    view_open(&v);
    play(&v, 100, 6000000); /* above the budget of 5 ms */
    m = read_minute(&v);
    assert_true(m.counts.value[STATE_BUDGET_MISSES] >= 60 * BINS_PER_S);
    assert_true(m.times[TIME_LATENCY].p50_ns > 5000000);
    for (unsigned i = 0; i < 20; i++) {
        play(&v, 5, 1000);
        m = read_minute(&v);
        assert_int_equal(m.times[TIME_LATENCY].n, m.counts.value[BINS_DECODED]);
        assert_true(m.span_ns >= 60 * S && m.span_ns <= 71 * S);
        assert_in_range(m.counts.value[BINS_DECODED], m.span_ns / RIG_BIN_NS - 1,
                        m.span_ns / RIG_BIN_NS + 1);
        if (i < 11) assert_true(m.times[TIME_LATENCY].max_ns > 5000000);
    }
    assert_int_equal(m.counts.value[STATE_BUDGET_MISSES], 0);
    assert_true(m.times[TIME_LATENCY].max_ns < 10000);
    assert_true(m.times[TIME_SPARE].max_ns > RIG_BIN_NS - 10000);
    assert_true(rig_counter(&v.rig, STATE_BUDGET_MISSES) == 100 * BINS_PER_S);
    view_close(&v);
}

static void test_nothing_comes(void **state)
{
    struct minute_values m;
    struct view v;
    (void)state;
    view_open(&v);
    play(&v, 3, 1000);
    for (unsigned i = 0; i < 300; i++) {
        v.rig.now_ns += S;
        minute_look(v.minute, v.rig.line, v.rig.now_ns);
    }
    m = read_minute(&v);
    assert_int_equal(m.counts.value[BINS_DECODED], 0);
    assert_int_equal(m.times[TIME_DECODING].n, 0);
    assert_int_equal(m.times[TIME_SPARE].p50_ns, 0);
    view_close(&v);
}

static void test_latest(void **state)
{
    struct latest_values l;
    struct rig r;
    (void)state;
    rig_open(&r, maker_kalman(), NULL, NULL);
    assert_true(line_read_latest(r.line, &l));
    assert_int_equal(l.t_publish_ns, 0);
    assert_int_equal(l.t_recv_ns, 0);
    rig_send(&r, 1, 5, 1, 0.0f);
    assert_true(line_read_latest(r.line, &l));
    assert_int_equal(l.seq, 5);
    assert_int_equal(l.t_recv_ns, r.now_ns);
    assert_int_equal(l.t_publish_ns, rig_last(&r)->frame.t_publish_ns);
    assert_int_equal(l.flags, rig_last(&r)->frame.values.flags);
    assert_int_equal(l.n, 2);
    assert_true(l.readout[0] == 2.0f && l.readout[1] == 1.0f);
    /* A frame that no socket took is not what consumers have, but its bin was decoded. */
    r.answer = -1;
    r.now_ns += RIG_BIN_NS;
    rig_send(&r, 1, 6, 1, 0.0f);
    assert_true(line_read_latest(r.line, &l));
    assert_int_equal(l.seq, 5);
    assert_int_equal(l.t_recv_ns, r.now_ns);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_since_the_start),
        cmocka_unit_test(test_the_past_is_forgotten),
        cmocka_unit_test(test_nothing_comes),
        cmocka_unit_test(test_latest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
