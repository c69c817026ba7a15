/* What is masked, proposed and left alone, for verdicts that are made by bins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/channels.h"
#include "health/masker.h"

enum { N = 40, N_BYTES = 5, MOST_MASKED = 10, SECOND_BINS = 10 };
#define SECOND_NS UINT64_C(1000000000)

static float mean_of[N], variance_of[N];

struct desk {
    struct bad_channels *bad;
    struct masker masker;
    uint8_t masked[N_BYTES];
    uint64_t now_ns;
};

static int desk_open(void **state)
{
    static struct desk desk;
    struct latent_info info = {.n_channels = N,
                               .bin_width_us = 1000000 / SECOND_BINS,
                               .channel_mean = mean_of,
                               .channel_variance = variance_of};

    for (int c = 0; c < N; c++) mean_of[c] = variance_of[c] = 2.0f;
    desk = (struct desk){.bad = bad_channels_new(&info), .now_ns = 7 * SECOND_NS};
    *state = &desk;
    return masker_open(&desk.masker, desk.bad, N);
}

static int desk_close(void **state)
{
    struct desk *d = *state;

    masker_close(&d->masker);
    bad_channels_free(d->bad);
    return 0;
}

/* So long these channels ("" : none) say nothing, the others what they did in training. */
static void live(struct desk *d, const char *silent, int seconds)
{
    uint8_t dead[N_BYTES] = {0};
    float counts[N];
    char why[80];

    if (silent[0]) assert_true(channels_read(silent, true, dead, N, why, sizeof why));
    for (int bin = 0; bin < seconds * SECOND_BINS; bin++) {
        for (uint32_t c = 0; c < N; c++)
            counts[c] = channels_has(dead, c) ? 0.0f : 2.0f + (bin % 2 ? 1.4f : -1.4f);
        bad_channels_add(d->bad, counts);
    }
}

/* The mask after one decision. */
static const char *decide(struct desk *d)
{
    static char list[80];
    uint8_t next[N_BYTES];

    masker_look(&d->masker);
    if (masker_decide(&d->masker, d->masked, MOST_MASKED, d->now_ns, next)) {
        masker_ordered(&d->masker, d->masked, next, d->now_ns);
        memcpy(d->masked, next, N_BYTES);
    }
    channels_write(d->masked, N, list, sizeof list);
    return list;
}

static const char *decide_for(struct desk *d, int seconds)
{
    const char *list = "";

    for (int i = 0; i <= 20 * seconds; i++, d->now_ns += SECOND_NS / 20) list = decide(d);
    return list;
}

static const char *proposed(const struct desk *d)
{
    static char list[80];
    uint8_t set[N_BYTES] = {0};

    masker_propose(&d->masker, d->masked, set);
    channels_write(set, N, list, sizeof list);
    return list;
}

static void operator_says(struct desk *d, const char *mask, const char *unmask)
{
    uint8_t on[N_BYTES] = {0}, off[N_BYTES] = {0};
    char why[80];

    if (mask[0]) channels_read(mask, true, on, N, why, sizeof why);
    if (unmask[0]) channels_read(unmask, true, off, N, why, sizeof why);
    masker_obey(&d->masker, on, off);
    for (int i = 0; i < N_BYTES; i++) d->masked[i] = (uint8_t)((d->masked[i] | on[i]) & ~off[i]);
}

static void test_one_in_half_a_second(void **state)
{
    struct desk *d = *state;

    live(d, "3,17,21", 200);
    assert_string_equal(proposed(d), "3,17,21");
    assert_string_equal(decide(d), "3");
    d->now_ns += SECOND_NS / 2 - 1;
    assert_string_equal(decide(d), "3");
    d->now_ns++;
    assert_string_equal(decide(d), "3,17");
    assert_string_equal(proposed(d), "21");
    d->now_ns += 10 * SECOND_NS;
    assert_string_equal(decide(d), "3,17,21");
    assert_string_equal(proposed(d), "none");
}

static void test_at_most_a_tenth(void **state)
{
    struct desk *d = *state;

    live(d, "3-10", 200);
    assert_string_equal(decide_for(d, 20), "3-6");
    assert_string_equal(proposed(d), "7-10");
}

static void test_unmasks_what_it_masked(void **state)
{
    struct desk *d = *state;

    operator_says(d, "5", "");
    live(d, "3,5", 200);
    assert_string_equal(decide_for(d, 5), "3,5");
    live(d, "5", 200);
    assert_string_equal(decide_for(d, 5), "5");
    live(d, "", 200);
    assert_string_equal(decide_for(d, 5), "5");
}

/* A mask of its own that the operator names is his from then on. */
static void test_the_operator_takes_over(void **state)
{
    struct desk *d = *state;

    live(d, "3", 200);
    assert_string_equal(decide_for(d, 5), "3");
    operator_says(d, "3", "");
    live(d, "", 200);
    assert_string_equal(decide_for(d, 5), "3");
}

static void test_what_the_operator_unmasked(void **state)
{
    struct desk *d = *state;

    live(d, "3", 200);
    assert_string_equal(decide_for(d, 5), "3");
    operator_says(d, "", "3");
    assert_string_equal(decide_for(d, 5), "none");
    assert_string_equal(proposed(d), "none");
    live(d, "", 200);
    decide_for(d, 1);
    live(d, "3", 200);
    assert_string_equal(proposed(d), "3");
    assert_string_equal(decide_for(d, 5), "3");
}

/* Ten may be masked: the eleventh bad one makes all of them so, and the stream SAFE. */
static void test_too_many_are_masked_at_once(void **state)
{
    struct desk *d = *state;

    operator_says(d, "30-33", "");
    live(d, "0-5", 200);
    assert_string_equal(decide_for(d, 10), "0-3,30-33");
    live(d, "0-6", 200);
    assert_string_equal(decide(d), "0-6,30-33");
    assert_string_equal(proposed(d), "none");
    live(d, "0", 200);
    assert_string_equal(decide_for(d, 10), "0,30-33");
}

static void test_nothing_to_judge_by(void **state)
{
    struct desk *d = *state;

    d->masker.bad = NULL;
    live(d, "3", 200);
    assert_string_equal(proposed(d), "none");
    assert_string_equal(decide(d), "none");
}

int main(void)
{
#define DESK_TEST(f) cmocka_unit_test_setup_teardown(f, desk_open, desk_close)
    const struct CMUnitTest tests[] = {
        DESK_TEST(test_one_in_half_a_second),       DESK_TEST(test_at_most_a_tenth),
        DESK_TEST(test_unmasks_what_it_masked),     DESK_TEST(test_the_operator_takes_over),
        DESK_TEST(test_what_the_operator_unmasked), DESK_TEST(test_too_many_are_masked_at_once),
        DESK_TEST(test_nothing_to_judge_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
