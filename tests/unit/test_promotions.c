/* Promotions as orders: carried out where their moment is right and whoever ordered them says that
 * they may be; owed until then, and not for ever. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "orders_bench.h"

enum { MAX_MESSAGE = 1024 };

/* ---- promotions ---- */

static enum promotion_answer may_promote(void *ctx)
{
    struct asked *a = ctx;

    atomic_fetch_add(&a->n_asked, 1);
    return (enum promotion_answer)atomic_load(&a->answer);
}

static void hear_promoted(void *ctx, struct line_decoder *old)
{
    struct asked *a = ctx;

    a->old = old;
    atomic_fetch_add(&a->n_done, 1);
}

static struct promotion promotion_of(struct bench *b, struct line_decoder *next)
{
    return (struct promotion){.next = next,
                              .why = PROMOTE_ASKED,
                              .may = may_promote,
                              .done = hear_promoted,
                              .ctx = &b->asked};
}

/* Owed until whoever ordered it says that it may be; one at a time. */
static void test_promotion_waits(void **state)
{
    struct bench *b = *state;
    struct line_decoder *first = line_decoder(b->line[0]);
    struct order order = orders_promote(b->orders, 0, promotion_of(b, b->next)), other;

    assert_int_equal(order.number, 1);
    for (int i = 0; i < 10; i++) send_bin(b, 0);
    assert_order(&order, ORDER_OWED);
    assert_int_equal(b->asked.n_asked, 10);
    other = orders_promote(b->orders, 0, promotion_of(b, b->next));
    assert_order(&other, ORDER_REFUSED);
    assert_int_equal(b->heard[0].n_of[LINE_PROMOTE], 0);
    assert_ptr_equal(line_decoder(b->line[0]), first);
    b->asked.answer = PROMOTION_TAKE;
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
    assert_int_equal(b->heard[0].n_of[LINE_PROMOTE], 1);
    assert_ptr_equal(line_decoder(b->line[0]), b->next);
    assert_ptr_equal(b->asked.old, first);
    assert_int_equal(b->asked.n_done, 1);
    other = orders_promote(b->orders, 0, promotion_of(b, b->asked.old));
    orders_take(b->orders);
    assert_order(&other, ORDER_DONE);
    assert_ptr_equal(line_decoder(b->line[0]), first);
}

/* Not while a message is open: each is open for its bins' steps, and orders are looked for before
 * each. */
static void test_promotion_between_messages(void **state)
{
    struct bench *b = *state;
    struct order order;
    float counts[16] = {1};
    uint32_t marks[3] = {0};
    uint8_t message[MAX_MESSAGE];
    const struct wire_bins head = {.epoch = 1,
                                   .t_source_ns = 1,
                                   .bin_width_us = b->info.bin_width_us,
                                   .n_channels = b->info.n_channels,
                                   .n_bins = 3};

    b->asked.answer = PROMOTION_TAKE;
    line_on_frame(b->line[0], message,
                  wire_pack_bins(&head, counts, marks, NULL, message, sizeof message), b->now_ns);
    order = orders_promote(b->orders, 0, promotion_of(b, b->next));
    for (int i = 0; i < 3; i++) {
        orders_take(b->orders);
        assert_order(&order, ORDER_OWED);
        line_continue(b->line[0]);
    }
    assert_int_equal(b->asked.n_asked, 0);
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
}

/* At ORDERS_PROMOTION_BINS bins not; however often it is asked at each. */
static void test_promotion_expires(void **state)
{
    struct bench *b = *state;
    struct order order = orders_promote(b->orders, 0, promotion_of(b, b->next));

    for (int i = 0; i < ORDERS_PROMOTION_BINS; i++) {
        for (int n = 0; n < 5; n++) orders_take(b->orders);
        assert_order(&order, ORDER_OWED);
        send_bin(b, 0);
    }
    orders_take(b->orders);
    assert_order(&order, ORDER_EXPIRED);
    b->asked.answer = PROMOTION_TAKE;
    orders_take(b->orders);
    assert_int_equal(b->asked.n_done, 0);
}

static void test_promotion_given_up(void **state)
{
    struct bench *b = *state;
    struct order order, drop;

    order = orders_promote(b->orders, 0, promotion_of(b, b->next));
    b->asked.answer = PROMOTION_GIVE_UP;
    orders_take(b->orders);
    assert_order(&order, ORDER_GIVEN_UP);
    b->asked.answer = PROMOTION_NOT_YET;
    order = orders_promote(b->orders, 0, promotion_of(b, b->next));
    orders_take(b->orders);
    drop = orders_give_up(b->orders, 0);
    orders_take(b->orders);
    assert_order(&drop, ORDER_DONE);
    assert_order(&order, ORDER_GIVEN_UP);
    drop = orders_give_up(b->orders, 0); /* there is none */
    order = orders_promote(b->orders, 1, promotion_of(b, b->next));
    orders_take(b->orders);
    assert_order(&order, ORDER_OWED);
    assert_order(&drop, ORDER_DONE);
    orders_stop(b->orders);
    orders_take(b->orders);
    assert_order(&order, ORDER_GIVEN_UP);
    b->asked.answer = PROMOTION_TAKE;
    order = orders_promote(b->orders, 0, promotion_of(b, b->next));
    orders_take(b->orders);
    assert_order(&order, ORDER_GIVEN_UP);
    assert_int_equal(b->asked.n_done, 0);
}

/* Within a trial it waits for its end, or for the bin that begins the next: that is decoded by the
 * new one. */
static void test_promotion_at_trial(void **state)
{
    struct bench *b = *state;
    struct promotion p = promotion_of(b, b->next);
    struct order order;

    p.at_trial = true;
    b->asked.answer = PROMOTION_TAKE;
    send_marks(b, 0, LATENT_MARK_TRIAL_START);
    order = orders_promote(b->orders, 0, p);
    for (int i = 0; i < 3 * ORDERS_PROMOTION_BINS; i++) send_bin(b, 0);
    assert_order(&order, ORDER_OWED);
    assert_int_equal(b->asked.n_asked, 0);
    b->heard[0].n = 0;
    send_marks(b, 0, LATENT_MARK_TRIAL_START);
    assert_order(&order, ORDER_DONE);
    assert_heard(&b->heard[0], 3,
                 (enum line_event_kind[]){LINE_MESSAGE, LINE_PROMOTE, LINE_CONTINUE});

    p.next = b->asked.old;
    order = orders_promote(b->orders, 0, p);
    send_bin(b, 0);
    assert_order(&order, ORDER_OWED);
    send_marks(b, 0, LATENT_MARK_TRIAL_END);
    assert_order(&order, ORDER_OWED);
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
    p.next = b->asked.old;
    order = orders_promote(b->orders, 0, p); /* outside of trials it is the next boundary */
    orders_take(b->orders);
    assert_order(&order, ORDER_DONE);
}

/* Promotions to and fro, from a thread that sees only how its orders end. */
static void test_promotions_of_two_threads(void **state)
{
    struct bench *b = *state;
    struct line_decoder *decoder[2] = {b->next, line_decoder(b->line[0])};
    struct order order;
    uint64_t t_ns, n_done = 0;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_data_thread, b), 0);
    for (int i = 0; i < 1000; i++) {
        enum order_state end;

        atomic_store(&b->asked.answer, i % 7 ? PROMOTION_NOT_YET : PROMOTION_GIVE_UP);
        order = orders_promote(b->orders, 0, promotion_of(b, decoder[n_done % 2]));
        assert_true(order.number != 0);
        if (i % 5 == 0) orders_give_up(b->orders, 0);
        if (i % 7) atomic_store(&b->asked.answer, PROMOTION_TAKE);
        sem_post(&b->work);
        while ((end = order_look(&order, &t_ns)) == ORDER_OWED) {
            sem_post(&b->work);
            sched_yield();
        }
        assert_true(t_ns != 0);
        n_done += end == ORDER_DONE;
        assert_int_equal(n_done, atomic_load(&b->asked.n_done));
        if (end == ORDER_DONE) assert_ptr_equal(b->asked.old, decoder[n_done % 2]);
        if (i % 7 && i % 5) assert_int_equal(end, ORDER_DONE);
    }
    order = orders_stop(b->orders);
    wait_done(&order);
    pthread_join(thread, NULL);
    assert_int_equal(b->heard[0].n_of[LINE_PROMOTE], n_done);
    assert_true(n_done > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_promotion_waits, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_promotion_between_messages, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_promotion_expires, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_promotion_given_up, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_promotion_at_trial, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_promotions_of_two_threads, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
