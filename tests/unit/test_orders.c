/* Orders: numbered, carried out in their order, never lost, refused only where that is said;
 * SAFE-on and stop always taken. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "feed/orders.h"
#include "model_maker.h"
#include "wire.h"

enum { N_LINES = 2, MAX_HEARD = 256, BIN_NS = 20000000, N_POSTED = 20000, MAX_MESSAGE = 1024 };

struct heard {
    enum line_event_kind kind[MAX_HEARD];
    uint64_t t_ns[MAX_HEARD];
    size_t n, n_removed; /* n: of the first MAX_HEARD */
    size_t n_of[LINE_N_EVENTS];
    enum line_event_kind last_safe;
};

struct bench {
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder[N_LINES];
    struct line *line[N_LINES];
    struct heard heard[N_LINES];
    struct orders *orders;
    uint64_t now_ns, seq[N_LINES];
    _Atomic unsigned n_wakes;
    sem_t work;
};

static uint64_t read_clock(void *ctx)
{
    struct bench *b = ctx;

    return b->now_ns++;
}

static int drop_frame(void *ctx, const char *topic, const void *bytes, size_t n)
{
    (void)ctx;
    (void)topic;
    (void)bytes;
    (void)n;
    return 0;
}

static void hear(void *ctx, const struct line_event *event)
{
    struct heard *h = ctx;

    if (!line_event_is_entry(event->kind)) return;
    h->n_of[event->kind]++;
    if (event->kind == LINE_SAFE_ON || event->kind == LINE_SAFE_OFF) h->last_safe = event->kind;
    if (h->n == MAX_HEARD) return;
    h->kind[h->n] = event->kind;
    h->t_ns[h->n++] = event->t_ns;
}

static void hear_removed(void *ctx)
{
    struct heard *h = ctx;

    h->n_removed++;
}

static void wake(void *ctx)
{
    struct bench *b = ctx;

    atomic_fetch_add(&b->n_wakes, 1);
    sem_post(&b->work);
}

static void open_line(struct bench *b, size_t i)
{
    const struct line_options options = {.name = "arm",
                                         .sequence = {.window_bins = 16, .max_gap_bins = 25},
                                         .budget_ns = 5000000,
                                         .valid_for_ns = 50000000,
                                         .policy = {.on_gap = ON_GAP_HOLD_INPUT,
                                                    .on_missing = ON_MISSING_SKIP,
                                                    .on_silent = ON_SILENT_OFF,
                                                    .safe_exit_bins = 3},
                                         .send_readout = true};

    assert_int_equal(latent_decoder_new(&b->decoder[i], b->model, NULL, NULL), 0);
    assert_int_equal(line_new(&b->line[i], b->decoder[i], &b->info, &options,
                              (struct line_clock){read_clock, b},
                              (struct line_sink){drop_frame, b}),
                     0);
    assert_true(line_add_tap(b->line[i], (struct line_tap){hear, hear_removed, &b->heard[i]}));
}

static int bench_open(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    struct model_parts parts = maker_kalman();
    struct file_bytes file = maker_file(&parts);

    assert_non_null(b);
    b->now_ns = 1000;
    sem_init(&b->work, 0, 0);
    assert_int_equal(model_open_bytes(&b->model, file.bytes, file.n, NULL), 0);
    free(file.bytes);
    latent_model_info(b->model, &b->info);
    for (size_t i = 0; i < N_LINES; i++) open_line(b, i);
    b->orders = orders_new(b->line, N_LINES, (struct line_clock){read_clock, b},
                           (struct orders_wake){wake, b});
    assert_non_null(b->orders);
    *state = b;
    return 0;
}

static int bench_close(void **state)
{
    struct bench *b = *state;

    orders_free(b->orders);
    for (size_t i = 0; i < N_LINES; i++) {
        line_free(b->line[i]);
        latent_decoder_free(b->decoder[i]);
    }
    latent_model_close(b->model);
    sem_destroy(&b->work);
    free(b);
    return 0;
}

static void send_bin(struct bench *b, size_t i)
{
    const struct wire_bins head = {.epoch = 1,
                                   .seq = b->seq[i]++,
                                   .t_source_ns = 1,
                                   .bin_width_us = b->info.bin_width_us,
                                   .n_channels = b->info.n_channels,
                                   .n_bins = 1};
    float counts[16] = {1};
    uint32_t marks = 0;
    uint8_t message[MAX_MESSAGE];
    size_t n = wire_pack_bins(&head, counts, &marks, NULL, message, sizeof message);

    b->now_ns += BIN_NS;
    line_on_frame(b->line[i], message, n, b->now_ns);
    while (line_has_work(b->line[i])) {
        orders_take(b->orders);
        line_continue(b->line[i]);
    }
}

static enum line_state state_of(struct bench *b, size_t i)
{
    struct ledger_values v;

    assert_true(line_read(b->line[i], &v));
    return (enum line_state)v.value[STATE_STATE];
}

/* Enough good bins to leave SAFE, if nobody holds it. */
static enum line_state state_after_good_bins(struct bench *b, size_t i)
{
    for (int n = 0; n < 10; n++) send_bin(b, i);
    return state_of(b, i);
}

static void assert_order(const struct order *order, enum order_state expected)
{
    uint64_t t_ns;

    assert_int_equal(order_look(order, &t_ns), expected);
    assert_int_equal(t_ns != 0, expected == ORDER_DONE || expected == ORDER_OVERTAKEN);
}

static void assert_heard(const struct heard *h, size_t n, const enum line_event_kind *expected)
{
    assert_int_equal(h->n, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(line_event_name(h->kind[i]), line_event_name(expected[i]));
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

    for (size_t i = 0; i < LINE_MAX_TAPS; i++) {
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

/* Sleeps unless there is work, as a data loop does: a wake that is lost ends the test by its
 * time. */
static void *run_data_thread(void *ctx)
{
    struct bench *b = ctx;

    while (!orders_are_stopped(b->orders)) {
        sem_wait(&b->work);
        orders_take(b->orders);
        for (size_t i = 0; i < N_LINES; i++) send_bin(b, i);
    }
    return NULL;
}

static void wait_done(const struct order *order)
{
    uint64_t t_ns;

    while (order_look(order, &t_ns) == ORDER_OWED) sched_yield();
    assert_true(t_ns != 0);
}

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
        cmocka_unit_test_setup_teardown(test_latches_are_never_full, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_last_word_holds, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_stop, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_taps, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_two_threads, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
