/* Orders: numbered, carried out in their order, never lost, refused only where that is said;
 * SAFE-on and stop always taken. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "orders_bench.h"

enum { N_POSTED = 20000 };

/* Enough good bins to leave SAFE, if nobody holds it. */
static enum line_state state_after_good_bins(struct bench *b, size_t i)
{
    for (int n = 0; n < 10; n++) send_bin(b, i);
    return state_of(b, i);
}

/* ---- one thread: what is carried out, in which order ---- */

static void test_numbers_and_acknowledgement(void **state)
{
    struct bench *b = *state;
    struct order reset = orders_enter(b->orders, 0, LINE_RESET);
    struct order on = orders_enter(b->orders, 0, LINE_SAFE_ON);
    struct order off = orders_enter(b->orders, 0, LINE_SAFE_OFF);
    struct order other = orders_enter(b->orders, 1, LINE_RESET);
    uint64_t t_ns, t_before_ns = b->now_ns;

    assert_int_equal(reset.number, 1);
    assert_int_equal(on.number, 2);
    assert_int_equal(off.number, 3);
    assert_int_equal(other.number, 4);
    assert_int_equal(b->n_wakes, 4);
    assert_order(&reset, ORDER_OWED);
    assert_order(&on, ORDER_OWED);
    orders_take(b->orders);
    assert_order(&reset, ORDER_DONE);
    assert_order(&on, ORDER_DONE);
    assert_order(&off, ORDER_DONE);
    assert_order(&other, ORDER_DONE);
    assert_heard(&b->heard[0], 3,
                 (enum line_event_kind[]){LINE_SAFE_ON, LINE_RESET, LINE_SAFE_OFF});
    assert_heard(&b->heard[1], 1, (enum line_event_kind[]){LINE_RESET});
    order_look(&on, &t_ns);
    assert_int_equal(t_ns, b->heard[0].t_ns[0]); /* the entry's own time */
    assert_in_range(t_ns, t_before_ns, b->now_ns);
    orders_take(b->orders);
    assert_int_equal(b->heard[0].n + b->heard[1].n, 4); /* once each */
}

static void test_busy(void **state)
{
    struct bench *b = *state;
    struct order order, on, last = {0};
    size_t n = 0;

    for (; (order = orders_enter(b->orders, 0, LINE_RESET)).number; n++) last = order;
    assert_in_range(n, 30, 100);
    assert_order(&order, ORDER_REFUSED);
    order = orders_remove_tap(b->orders, 0, (struct line_tap){0});
    assert_order(&order, ORDER_REFUSED);
    on = orders_enter(b->orders, 1, LINE_SAFE_ON);
    assert_order(&on, ORDER_OWED);
    orders_take(b->orders);
    assert_order(&last, ORDER_DONE);
    assert_order(&on, ORDER_DONE);
    assert_order(&order, ORDER_REFUSED); /* for good */
    assert_int_equal(b->heard[0].n, n);
    order = orders_enter(b->orders, 0, LINE_RESET);
    assert_order(&order, ORDER_OWED);
    assert_int_equal(order.number, n + 2); /* what was refused has no number */
}

struct mask_heard {
    struct line_event event;
    uint8_t bits;
    size_t n;
};

static void hear_mask(void *ctx, const struct line_event *event)
{
    struct mask_heard *h = ctx;

    if (event->kind != LINE_MASK) return;
    h->event = *event;
    h->bits = *(const uint8_t *)event->bytes;
    h->n++;
}

/* The bytes come along, as they were when it was ordered. */
static void test_mask(void **state)
{
    struct bench *b = *state;
    struct mask_heard heard = {0};
    uint8_t bits = 5;
    struct order order;

    assert_true(line_add_tap(b->line[1], (struct line_tap){.on_event = hear_mask, .ctx = &heard}));
    order = orders_mask(b->orders, 1, &bits, 7);
    bits = 2;
    assert_order(&order, ORDER_OWED);
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
    assert_int_equal(heard.n, 1);
    assert_int_equal(heard.event.what, 7);
    assert_int_equal(heard.event.n_bytes, 1);
    assert_int_equal(heard.bits, 5);
    assert_int_equal(latent_decoder_masked(b->decoder[1], &bits, 1), 2);
    assert_int_equal(bits, 5);
    assert_int_equal(latent_decoder_mask_version(b->decoder[1]), 7);
    assert_int_equal(latent_decoder_masked(b->decoder[0], NULL, 0), 0);
}

static void count_call(void *ctx)
{
    ++*(int *)ctx;
}

/* Lines change together, a mask before the rules or after them as it is said; a full ring is known
 * beforehand. */
static void test_change(void **state)
{
    struct bench *b = *state;
    const uint8_t bits = 1;
    int n_done = 0;
    struct orders_change changes[] = {
        {.line = 0, .has_rules = true, .done = count_call, .ctx = &n_done},
        {.line = 1, .has_rules = true, .mask = &bits, .mask_version = 3, .mask_is_first = true},
        {.line = 1, .mask = &bits, .mask_version = 4},
    };
    struct order order;

    for (size_t i = 0; i < 2; i++)
        changes[i].rules =
            (struct rules){.budget_ns = 1, .policy = {.safe_exit_bins = 1, .max_masked = 100}};
    assert_true(orders_take_change(b->orders));
    order = orders_change(b->orders, changes, 3);
    assert_order(&order, ORDER_OWED);
    assert_int_equal(n_done, 0);
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
    assert_int_equal(n_done, 1);
    assert_heard(&b->heard[0], 1, (enum line_event_kind[]){LINE_RULES});
    assert_heard(&b->heard[1], 3, (enum line_event_kind[]){LINE_MASK, LINE_RULES, LINE_MASK});
    assert_int_equal(latent_decoder_mask_version(b->decoder[1]), 4);
    while (orders_enter(b->orders, 0, LINE_RESET).number) continue;
    assert_false(orders_take_change(b->orders));
    orders_take(b->orders);
    assert_true(orders_take_change(b->orders)); /* and looking has taken no room */
    order = orders_enter(b->orders, 0, LINE_RESET);
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
}

/* Mean and sd go in with their order, and come out by another. */
static void test_normalisation(void **state)
{
    struct bench *b = *state;
    size_t n = line_normalisation_bytes(b->line[1]) / sizeof(double);
    double *given = calloc(2 * n, sizeof *given), *told = given + n;
    struct line_normalisation out = {.mean = told, .sd = told + n / 2};
    struct order load, tell;

    for (size_t i = 0; i < n; i++) given[i] = (double)i + 0.1;
    load = orders_normalise(b->orders, 1, LATENT_NORMALISE_LOAD, given);
    tell = orders_tell_normalisation(b->orders, 1, &out);
    assert_order(&load, ORDER_OWED);
    assert_order(&tell, ORDER_OWED);
    for (size_t i = 0; i < n; i++) given[i] = -1.0;
    orders_take(b->orders);
    assert_order(&tell, ORDER_DONE);
    assert_int_equal(out.kind, LATENT_NORMALISE_WINDOW_TRIALS);
    assert_int_equal(out.now.version, 1);
    assert_true(out.decoder_id == latent_decoder_id(b->decoder[1]));
    for (size_t i = 0; i < n; i++) assert_true(told[i] == (double)i + 0.1);
    free(given);
}

/* Wanted again and again before it is taken: one entry, and all are answered. */
static void test_latches_are_never_full(void **state)
{
    struct bench *b = *state;
    struct order first = orders_enter(b->orders, 1, LINE_SAFE_ON), order = first;

    for (int i = 0; i < 100000; i++) order = orders_enter(b->orders, 1, LINE_SAFE_ON);
    assert_int_equal(order.number, 100001);
    orders_take(b->orders);
    assert_order(&first, ORDER_DONE);
    assert_order(&order, ORDER_DONE);
    assert_heard(&b->heard[1], 1, (enum line_event_kind[]){LINE_SAFE_ON});
    assert_int_equal(b->heard[0].n, 0);
}

/* Of SAFE-on and SAFE-off the one that was ordered last holds, whatever way they came. */
static void test_the_last_word_holds(void **state)
{
    struct bench *b = *state;
    struct order off, on;

    off = orders_enter(b->orders, 0, LINE_SAFE_OFF);
    on = orders_enter(b->orders, 0, LINE_SAFE_ON);
    orders_take(b->orders);
    assert_order(&off, ORDER_OVERTAKEN);
    assert_order(&on, ORDER_DONE);
    assert_heard(&b->heard[0], 1, (enum line_event_kind[]){LINE_SAFE_ON});
    assert_int_equal(state_after_good_bins(b, 0), LINE_STATE_SAFE_OPERATOR);

    orders_enter(b->orders, 0, LINE_SAFE_ON);
    off = orders_enter(b->orders, 0, LINE_SAFE_OFF);
    orders_take(b->orders);
    assert_order(&off, ORDER_DONE);
    assert_int_equal(state_after_good_bins(b, 0), LINE_STATE_RUNNING);

    /* That of another line does not count. */
    off = orders_enter(b->orders, 0, LINE_SAFE_OFF);
    on = orders_enter(b->orders, 1, LINE_SAFE_ON);
    orders_take(b->orders);
    assert_order(&off, ORDER_DONE);
    assert_order(&on, ORDER_DONE);
}

static void test_stop(void **state)
{
    struct bench *b = *state;
    struct order on, stop;

    on = orders_enter(b->orders, 0, LINE_SAFE_ON);
    while (orders_enter(b->orders, 0, LINE_SAFE_OFF).number) continue;
    stop = orders_stop(b->orders);
    assert_false(orders_are_stopped(b->orders));
    orders_take(b->orders);
    assert_true(orders_are_stopped(b->orders));
    assert_order(&on, ORDER_DONE);
    assert_order(&stop, ORDER_DONE);
    assert_heard(&b->heard[0], 2, (enum line_event_kind[]){LINE_SAFE_ON, LINE_STOP});
    assert_heard(&b->heard[1], 1, (enum line_event_kind[]){LINE_STOP});
    for (size_t i = 0; i < N_LINES; i++)
        assert_int_equal(state_after_good_bins(b, i), LINE_STATE_STOPPING);
}

static void test_taps(void **state)
{
    static struct heard heard[LINE_MAX_TAPS];
    struct bench *b = *state;
    struct order order;

    /* It has one already. */
    for (size_t i = 1; i < LINE_MAX_TAPS; i++) {
        order = orders_add_tap(b->orders, 1, (struct line_tap){hear, hear_removed, &heard[i]});
        assert_order(&order, ORDER_OWED);
    }
    order = orders_add_tap(b->orders, 1, (struct line_tap){hear, hear_removed, &heard[0]});
    assert_order(&order, ORDER_REFUSED);
    order = orders_add_tap(b->orders, 0, (struct line_tap){hear, hear_removed, &heard[0]});
    assert_order(&order, ORDER_OWED);
    order = orders_remove_tap(b->orders, 1, (struct line_tap){.ctx = &heard[1]});
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
    assert_int_equal(heard[1].n_removed, 1);
    send_bin(b, 1);
    assert_int_equal(heard[1].n_of[LINE_MESSAGE], 0);
    assert_int_equal(heard[2].n_of[LINE_MESSAGE], 1);
    order = orders_add_tap(b->orders, 1, (struct line_tap){hear, hear_removed, &heard[1]});
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
    send_bin(b, 1);
    assert_int_equal(heard[1].n_of[LINE_MESSAGE], 1);
    assert_int_equal(heard[2].n_of[LINE_MESSAGE], 2);
}

/* ---- two threads ---- */

static void test_two_threads(void **state)
{
    static const enum line_event_kind kinds[] = {LINE_SAFE_ON, LINE_SAFE_OFF, LINE_RESET};
    struct bench *b = *state;
    uint64_t random = 20260401, n_refused = 0, newest = 0;
    size_t n_resets[N_LINES] = {0};
    enum line_event_kind last[N_LINES];
    struct order order = {0};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_data_thread, b), 0);
    for (int i = 0; i < N_POSTED; i++) {
        size_t line = (random = random * 6364136223846793005u + 1442695040888963407u) >> 63;
        enum line_event_kind kind = kinds[(random >> 33) % 3];

        order = orders_enter(b->orders, line, kind);
        n_refused += order.number == 0;
        if (order.number == 0) continue;
        assert_true(order.number > newest);
        newest = order.number;
        if (kind != LINE_RESET) last[line] = kind;
        n_resets[line] += kind == LINE_RESET;
        if ((random >> 40) % 4 == 0) wait_done(&order);
    }
    if (order.number) wait_done(&order);
    for (size_t i = 0; i < N_LINES; i++) {
        while (!(order = orders_enter(b->orders, i, LINE_RESET)).number) sched_yield();
        wait_done(&order); /* and with it all before it */
    }
    order = orders_stop(b->orders);
    wait_done(&order);
    pthread_join(thread, NULL);
    print_message("%d orders, %llu refused, %u wakes\n", N_POSTED, (unsigned long long)n_refused,
                  atomic_load(&b->n_wakes));
    assert_int_equal(order.number, N_POSTED - n_refused + N_LINES + 1);
    for (size_t i = 0; i < N_LINES; i++) {
        assert_int_equal(b->heard[i].n_of[LINE_RESET], n_resets[i] + 1);
        assert_int_equal(b->heard[i].last_safe, last[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_and_acknowledgement, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_busy, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_normalisation, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_mask, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_change, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_latches_are_never_full, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_last_word_holds, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_stop, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_taps, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_two_threads, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
