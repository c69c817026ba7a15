/* Why a bin was late: its time in parts that add up, whatever was seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_fixture.h"
#include "why/explain.h"

#define US 1000ull
#define MS 1000000ull
#define OWN 1u
#define N_PLACES 7

static const char *const names[N_PLACES] = {"leg", "arm", "eye", "ear", "toe", "lip", "rib"};

/* A bin that ended at 100 ms, whose message was found at 101, stepped over from 103 to 104. */
static const struct late_bin usual = {.seq = 7,
                                      .t_since_ns = 100 * MS,
                                      .t_recv_ns = 101 * MS,
                                      .t_start_ns = 103 * MS,
                                      .t_publish_ns = 104 * MS,
                                      .t_done_ns = 104 * MS + 5 * US};

struct seen {
    struct why_span spans[64];
    struct why_sample samples[8];
    struct why_known known;
    struct why_bin out;
};

static struct why_piece pieces[WHY_PIECES];

static void add_span(struct seen *s, uint64_t from_ns, uint64_t to_ns, uint64_t place)
{
    s->spans[s->known.n_spans++] = (struct why_span){from_ns, to_ns, place};
}

static void add_sample(struct seen *s, struct why_sample sample)
{
    s->samples[s->known.n_samples++] = sample;
}

static void explain(struct seen *s, const struct late_bin *bin)
{
    uint64_t sum_ns = 0;

    s->known.spans = s->spans;
    s->known.samples = s->samples;
    s->known.place = OWN;
    s->known.names = names;
    s->known.n_names = N_PLACES;
    s->known.pieces = pieces;
    why_explain(&s->out, bin, &s->known);
    for (size_t i = 0; i < s->out.n_waits; i++) {
        sum_ns += s->out.waits[i].ns;
        assert_true(i == 0 || s->out.waits[i - 1].ns >= s->out.waits[i].ns);
    }
    assert_int_equal(sum_ns, why_whole_ns(bin));
}

static uint64_t part_ns(const struct seen *s, enum why_part part, const char *stream)
{
    for (size_t i = 0; i < s->out.n_waits; i++)
        if (s->out.waits[i].part == part && strcmp(s->out.waits[i].stream, stream) == 0)
            return s->out.waits[i].ns;
    return 0;
}

static void test_nothing_else_seen(void **state)
{
    struct seen s = {0};

    (void)state;
    explain(&s, &usual);
    assert_int_equal(part_ns(&s, WHY_SOURCE, ""), MS);
    assert_int_equal(part_ns(&s, WHY_UNKNOWN, ""), 2 * MS);
    assert_int_equal(part_ns(&s, WHY_STEP, ""), MS);
    assert_int_equal(s.out.n_waits, 3);
    assert_false(s.out.knows_processor);
    assert_true(s.out.knows_spans);
}

/* Another stream, then its own earlier bins; the head of its own turn belongs to its step. */
static void test_behind_others(void **state)
{
    struct seen s = {0};

    (void)state;
    add_span(&s, 90 * MS, 95 * MS, 0);             /* before */
    add_span(&s, 99 * MS, 100 * MS + 200 * US, 0); /* into it */
    add_span(&s, 101 * MS, 102 * MS, 0);
    add_span(&s, 102 * MS, 102 * MS + 900 * US, OWN);
    add_span(&s, 102 * MS + 950 * US, 104 * MS + 6 * US, OWN);
    add_span(&s, 105 * MS, 106 * MS, 0); /* after */
    explain(&s, &usual);
    assert_int_equal(part_ns(&s, WHY_STREAM, "leg"), MS + 200 * US);
    assert_int_equal(part_ns(&s, WHY_SOURCE, ""), 800 * US);
    assert_int_equal(part_ns(&s, WHY_OWN, ""), 900 * US);
    assert_int_equal(part_ns(&s, WHY_UNKNOWN, ""), 50 * US);
    assert_int_equal(part_ns(&s, WHY_STEP, ""), MS + 50 * US);
}

static void test_many_streams(void **state)
{
    struct seen s = {0};

    (void)state;
    for (uint64_t place = 0; place < N_PLACES; place++)
        add_span(&s, 101 * MS + place * 100 * US, 101 * MS + (place + 1) * 100 * US, place);
    add_span(&s, 102 * MS, 103 * MS, 99); /* it has no name */
    explain(&s, &usual);
    assert_int_equal(part_ns(&s, WHY_STREAM, "leg"), 100 * US);
    assert_int_equal(part_ns(&s, WHY_STREAM, "toe"), 100 * US);
    assert_int_equal(part_ns(&s, WHY_STREAM, "lip"), 0);
    assert_int_equal(part_ns(&s, WHY_OTHERS, ""), MS + 200 * US);
}

/* One wait lies in one piece: the longest, not one after the other. */
static void test_processor(void **state)
{
    struct seen s = {0};

    (void)state;
    add_span(&s, 101 * MS, 102 * MS + 500 * US, 0);
    add_sample(&s, (struct why_sample){90 * MS, 100 * MS, 0, 5 * MS, 1}); /* before */
    add_sample(&s, (struct why_sample){100 * MS, 110 * MS, 0, 4 * MS, 1});
    explain(&s, &usual);
    assert_true(s.out.knows_processor);
    assert_int_equal(part_ns(&s, WHY_PROCESSOR, ""), 1500 * US);
    assert_int_equal(part_ns(&s, WHY_STREAM, "leg"), 0);
    s.samples[1].n_delays = 2; /* two may lie in two */
    s.samples[1].delay_ns = 2 * MS;
    explain(&s, &usual);
    assert_int_equal(part_ns(&s, WHY_PROCESSOR, ""), 2 * MS);
    s.samples[1].delay_ns = 700 * US; /* the other stream's work was longer than it seemed */
    explain(&s, &usual);
    assert_int_equal(part_ns(&s, WHY_STREAM, "leg"), 800 * US);
    s.samples[0].delay_ns = s.samples[1].delay_ns = WHY_UNKNOWN_NS;
    explain(&s, &usual);
    assert_false(s.out.knows_processor);
    assert_int_equal(part_ns(&s, WHY_PROCESSOR, ""), 0);
}

/* A wait that ends in a sample may have begun long before it. */
static void test_processor_across_samples(void **state)
{
    struct late_bin bin = usual;
    struct seen s = {0};

    (void)state;
    bin.t_recv_ns = 130 * MS;
    bin.t_start_ns = 130 * MS + US;
    bin.t_publish_ns = 130 * MS + 10 * US;
    add_sample(&s, (struct why_sample){100 * MS, 110 * MS, 0, 0, 0});
    add_sample(&s, (struct why_sample){110 * MS, 120 * MS, 0, 0, 0});
    add_sample(&s, (struct why_sample){120 * MS, 131 * MS, 0, 28 * MS, 1});
    explain(&s, &bin);
    assert_int_equal(part_ns(&s, WHY_PROCESSOR, ""), 28 * MS);
    assert_int_equal(part_ns(&s, WHY_SOURCE, ""), 2 * MS);
}

static void test_stopped(void **state)
{
    struct late_bin bin = usual;
    struct seen s = {0};

    (void)state;
    bin.t_recv_ns = bin.t_start_ns = 700 * MS;
    bin.t_publish_ns = 701 * MS;
    add_sample(&s, (struct why_sample){95 * MS, 99 * MS, 90 * MS, 0, 0}); /* before */
    add_sample(&s, (struct why_sample){99 * MS, 700 * MS, 590 * MS, 2 * MS, 1});
    explain(&s, &bin);
    assert_int_equal(part_ns(&s, WHY_STOPPED, ""), 590 * MS);
    assert_int_equal(part_ns(&s, WHY_PROCESSOR, ""), 2 * MS);
    assert_int_equal(part_ns(&s, WHY_SOURCE, ""), 8 * MS);
    assert_int_equal(s.out.waits[0].part, WHY_STOPPED);
}

/* It was over before the bin arrived: nothing that the loop did since can hold it. */
static void test_stopped_before(void **state)
{
    struct late_bin bin = usual;
    struct seen s = {0};

    (void)state;
    bin.since = LATE_SINCE_ARRIVAL;
    bin.t_since_ns = bin.t_recv_ns;
    add_span(&s, 101 * MS, 102 * MS + 900 * US, 0);
    add_sample(&s, (struct why_sample){50 * MS, 103 * MS, 50 * MS, 0, 0});
    explain(&s, &bin);
    assert_int_equal(part_ns(&s, WHY_STOPPED, ""), 0);
    assert_int_equal(part_ns(&s, WHY_STREAM, "leg"), 1900 * US);
    bin.since = LATE_SINCE_END; /* it may have begun before the bin ended, and was in it */
    bin.t_since_ns = 100 * MS;
    s.known.n_spans = 0;
    bin.t_recv_ns = 103 * MS;
    explain(&s, &bin);
    assert_int_equal(part_ns(&s, WHY_STOPPED, ""), 3 * MS);
}

static void test_stopped_by_its_own_time(void **state)
{
    (void)state;
    assert_int_equal(why_stopped_ns(500 * MS, 10 * MS, MS, 2 * MS, 5 * MS), 487 * MS);
    assert_int_equal(why_stopped_ns(17 * MS, 10 * MS, MS, 2 * MS, 5 * MS), 0); /* busy, no more */
    assert_int_equal(why_stopped_ns(9 * MS, 10 * MS, MS, 0, 5 * MS), 0);
}

/* What was written over is not taken for a source that sent late. */
static void test_spans_that_are_gone(void **state)
{
    struct seen s = {0};

    (void)state;
    add_span(&s, 100 * MS + 600 * US, 100 * MS + 700 * US, 0);
    s.known.spans_from_ns = 100 * MS + 600 * US;
    explain(&s, &usual);
    assert_false(s.out.knows_spans);
    assert_int_equal(part_ns(&s, WHY_UNKNOWN, ""), 2 * MS + 600 * US);
    assert_int_equal(part_ns(&s, WHY_SOURCE, ""), 300 * US);
}

static uint64_t draw(uint64_t *random, uint64_t n)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % n;
}

/* Whatever was seen: the parts add up (explain asserts it). */
static void test_any_world(void **state)
{
    uint64_t random = 1;

    (void)state;
    for (unsigned world = 0; world < 20000; world++) {
        struct seen s = {.known.spans_from_ns = draw(&random, 3) ? 0 : draw(&random, 200 * MS)};
        struct late_bin bin = {.t_since_ns = 100 * MS};
        uint64_t at_ns = 90 * MS;

        bin.t_start_ns = bin.t_since_ns + draw(&random, 20 * MS);
        bin.t_recv_ns = 95 * MS + draw(&random, bin.t_start_ns - 95 * MS + 1);
        bin.t_publish_ns = bin.t_start_ns + draw(&random, 5 * MS);
        while (s.known.n_spans < 40) {
            uint64_t from_ns = at_ns + (draw(&random, 2) ? draw(&random, MS) : 0);

            at_ns = from_ns + draw(&random, MS);
            add_span(&s, from_ns, at_ns, draw(&random, N_PLACES + 1));
        }
        for (at_ns = 80 * MS; s.known.n_samples < 8; at_ns += 10 * MS)
            add_sample(
                &s, (struct why_sample){at_ns, at_ns + 10 * MS,
                                        draw(&random, 4) ? 0 : draw(&random, 10 * MS),
                                        draw(&random, 4) ? draw(&random, 9 * MS) : WHY_UNKNOWN_NS,
                                        draw(&random, 5)});
        explain(&s, &bin);
    }
}

static void test_names(void **state)
{
    enum why_part part;

    (void)state;
    for (enum why_part i = 0; i < WHY_N_PARTS; i++) {
        assert_true(why_part_find(why_part_name(i), &part));
        assert_int_equal(part, i);
    }
    assert_false(why_part_find("weather", &part));
}

/* ---- what the line keeps ---- */

static void test_line_keeps_late_bins(void **state)
{
    struct rig rig;
    struct late_bin bin;

    (void)state;
    rig_open(&rig, maker_kalman(), NULL, NULL);
    rig_send(&rig, 1, 0, 1, 0.0f);
    assert_int_equal(line_n_late(rig.line), 0);
    rig.now_ns += MS;
    rig.tick_ns = 3600 * 1000 * MS;
    rig_send(&rig, 1, 1, 2, 0.0f);
    assert_int_equal(line_n_late(rig.line), 2);
    assert_true(line_read_late(rig.line, 1, &bin));
    assert_int_equal(bin.seq, 2);
    assert_int_equal(bin.n_before, 1);
    assert_true(bin.t_publish_ns - bin.t_since_ns > bin.budget_ns);
    assert_int_equal(bin.since, LATE_SINCE_ARRIVAL);
    assert_int_equal(bin.t_since_ns, bin.t_recv_ns);
    assert_true(bin.flags & LATENT_LATE);
    assert_true(bin.t_recv_ns < bin.t_start_ns && bin.t_start_ns < bin.t_publish_ns);
    assert_false(line_read_late(rig.line, 2, &bin));
    for (uint64_t seq = 3; line_n_late(rig.line) < LATE_MAX + 1; seq++)
        rig_send(&rig, 1, seq, 1, 0.0f);
    assert_false(line_read_late(rig.line, 1, &bin)); /* written over, or about to be */
    assert_true(line_read_late(rig.line, 2, &bin));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_else_seen),
        cmocka_unit_test(test_behind_others),
        cmocka_unit_test(test_many_streams),
        cmocka_unit_test(test_processor),
        cmocka_unit_test(test_processor_across_samples),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_stopped_before),
        cmocka_unit_test(test_stopped_by_its_own_time),
        cmocka_unit_test(test_spans_that_are_gone),
        cmocka_unit_test(test_any_world),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_line_keeps_late_bins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
