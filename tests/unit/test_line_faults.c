/* Long streams with faults injected at random, one to a block of bins, so that every
 * count is known: the ledgers must balance and tell exactly what was injected. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line_fixture.h"

enum { N_BLOCKS = 400, BLOCK_BINS = 50, N_SEEDS = 5 };

struct injected {
    uint64_t seed, epoch, seq; /* of the next bin */
    uint64_t messages, bins, garbage, wrong_width, duplicates, late, stale, bad_values;
    uint64_t missing, filled, long_gaps, restarts;
};

static uint64_t draw(struct injected *f, uint64_t low, uint64_t high)
{
    f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
    return low + (f->seed >> 33) % (high - low + 1);
}

static void send(struct rig *l, struct injected *f, uint64_t seq, size_t n_bins)
{
    rig_send(l, f->epoch, seq, n_bins, 1.0f);
    f->messages++;
    f->bins += n_bins;
}

static void send_next(struct rig *l, struct injected *f, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) send(l, f, f->seq++, 1);
}

/* ---- faults: each leaves the stream in order ---- */

typedef void fault_fn(struct rig *l, struct injected *f);

static void no_fault(struct rig *l, struct injected *f)
{
    send_next(l, f, draw(f, 1, 5));
}

static void batch(struct rig *l, struct injected *f)
{
    uint64_t n = draw(f, 2, 20);
    send(l, f, f->seq, n);
    f->seq += n;
}

static void lose(struct rig *l, struct injected *f)
{
    uint64_t n = draw(f, 1, 25);
    (void)l;
    f->seq += n;
    f->missing += n;
    f->filled += n;
}

static void lose_many(struct rig *l, struct injected *f)
{
    uint64_t n = draw(f, 26, 450);
    (void)l;
    f->seq += n;
    f->missing += n;
    f->long_gaps++;
}

static void repeat(struct rig *l, struct injected *f)
{
    uint64_t back = draw(f, 1, 16); /* 16 is the oldest inside of the window */
    send(l, f, f->seq - back, 1);
    f->duplicates++;
}

static void delay_within_window(struct rig *l, struct injected *f)
{
    uint64_t seq = f->seq++;
    send_next(l, f, draw(f, 1, 15));
    send(l, f, seq, 1);
    f->late++;
    f->filled++;
}

static void delay_beyond_window(struct rig *l, struct injected *f)
{
    uint64_t seq = f->seq++;
    send_next(l, f, draw(f, 16, 30));
    send(l, f, seq, 1);
    f->stale++;
    f->missing++;
    f->filled++;
}

static void not_a_number(struct rig *l, struct injected *f)
{
    rig_send(l, f->epoch, f->seq++, 1, NAN);
    f->messages++;
    f->bins++;
    f->bad_values++;
    f->missing++;
    f->filled++;
}

static void garble(struct rig *l, struct injected *f)
{
    rig_send_bytes(l, "\xff\xff", 2);
    f->seq++;
    f->messages++;
    f->garbage++;
    f->missing++;
    f->filled++;
}

static void wrong_width(struct rig *l, struct injected *f)
{
    l->info.n_channels++; /* of the sender */
    rig_send(l, f->epoch, f->seq, 1, 1.0f);
    l->info.n_channels--;
    f->messages++;
    f->wrong_width++;
}

static void restart(struct rig *l, struct injected *f)
{
    l->now_ns += 60000000; /* missing-after: the next epoch is believed at once */
    f->epoch++;
    f->seq = draw(f, 0, 1000000);
    f->restarts++;
}

static fault_fn *const faults[] = {no_fault,     batch,
                                   lose,         lose_many,
                                   repeat,       delay_within_window,
                                   not_a_number, delay_beyond_window,
                                   garble,       wrong_width,
                                   restart};

static void run_block(struct rig *l, struct injected *f)
{
    send_next(l, f, BLOCK_BINS);
    faults[draw(f, 0, sizeof faults / sizeof faults[0] - 1)](l, f);
    send_next(l, f, 1); /* shows what is missing before it */
}

/* ---- what must be told ---- */

static void check_ledgers(struct rig *l, const struct injected *f)
{
    uint64_t decoded = f->bins - f->duplicates - f->late - f->stale - f->bad_values;

    assert_int_equal(rig_counter(l, MESSAGES_IN), f->messages);
    assert_int_equal(rig_counter(l, MESSAGES_REFUSED_FORMAT), f->garbage);
    assert_int_equal(rig_counter(l, MESSAGES_REFUSED_SHAPE), f->wrong_width);
    assert_int_equal(rig_counter(l, BINS_IN), f->bins);
    assert_int_equal(rig_counter(l, BINS_DECODED), decoded);
    assert_int_equal(rig_counter(l, BINS_DUPLICATE), f->duplicates);
    assert_int_equal(rig_counter(l, BINS_LATE_AFTER_FILL), f->late);
    assert_int_equal(rig_counter(l, BINS_STALE), f->stale);
    assert_int_equal(rig_counter(l, BINS_REFUSED_VALUE), f->bad_values);
    assert_int_equal(rig_counter(l, SEQUENCE_LOST), f->missing);
    assert_int_equal(rig_counter(l, SEQUENCE_REORDERED), f->late);
    assert_int_equal(rig_counter(l, SEQUENCE_FILLED), f->filled);
    assert_int_equal(rig_counter(l, SEQUENCE_RESTARTS), f->restarts);
    assert_int_equal(rig_counter(l, SEQUENCE_RESETS), f->restarts + f->long_gaps);
    assert_int_equal(rig_counter(l, FRAMES_PUBLISHED), decoded + f->filled);
}

/* What a consumer sees: no hole in pub_seq, no number twice or backwards within an
 * epoch, as many flags as counted. */
static void check_frames(struct rig *l, const struct injected *f)
{
    uint64_t filled = 0, resets = 0;

    assert_int_equal(rig_counter(l, FRAMES_PUBLISHED), l->n_frames);
    for (size_t i = 0; i < l->n_frames; i++) {
        const struct wire_frame *a = &l->frames[i].frame;
        const struct wire_frame *before = i ? &l->frames[i - 1].frame : NULL;
        assert_int_equal(a->pub_seq, i);
        if (before && before->epoch == a->epoch) assert_true(a->seq > before->seq);
        filled += (a->values.flags & LATENT_FILLED) != 0;
        resets += (a->values.flags & LATENT_RESET) != 0;
    }
    assert_int_equal(filled, f->filled);
    assert_int_equal(resets, f->restarts + f->long_gaps);
}

static void run_seed(struct model_parts parts, const char *mode, uint64_t seed)
{
    struct injected f = {.seed = seed, .epoch = 1, .seq = 100};
    struct rig l;
    uint64_t filled_bins;

    rig_open(&l, parts, mode, NULL);
    for (int i = 0; i < N_BLOCKS; i++) run_block(&l, &f);
    check_ledgers(&l, &f);
    check_frames(&l, &f);
    filled_bins = rig_counter(&l, FLAGS_FIRST + 2); /* FILLED */
    assert_int_equal(filled_bins, f.filled);
    assert_true(f.garbage && f.wrong_width && f.duplicates && f.late && f.stale);
    assert_true(f.bad_values && f.long_gaps && f.restarts);
    rig_close(&l);
}

static void test_kalman(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) run_seed(maker_kalman(), NULL, seed);
}

static void test_gru(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) run_seed(maker_gru(), NULL, 1000 + seed);
}

static void test_ndt(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) run_seed(maker_ndt(), "C", 77 + seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kalman),
        cmocka_unit_test(test_gru),
        cmocka_unit_test(test_ndt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
