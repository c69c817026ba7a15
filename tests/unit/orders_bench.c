/* Two lines, and what their taps heard. */
#include "orders_bench.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MAX_MESSAGE = 1024 };

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

void hear(void *ctx, const struct line_event *event)
{
    struct heard *h = ctx;

    if (!line_event_is_entry(event->kind)) return;
    h->n_of[event->kind]++;
    if (event->kind == LINE_SAFE_ON || event->kind == LINE_SAFE_OFF) h->last_safe = event->kind;
    if (h->n == MAX_HEARD) return;
    h->kind[h->n] = event->kind;
    h->t_ns[h->n++] = event->t_ns;
}

void hear_removed(void *ctx)
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

int bench_open(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    struct model_parts parts = maker_kalman_normalised();
    struct file_bytes file = maker_file(&parts);

    assert_non_null(b);
    b->now_ns = 1000;
    sem_init(&b->work, 0, 0);
    assert_int_equal(model_open_bytes(&b->model, file.bytes, file.n, NULL), 0);
    free(file.bytes);
    latent_model_info(b->model, &b->info);
    for (size_t i = 0; i < N_LINES; i++) open_line(b, i);
    assert_int_equal(latent_decoder_new(&b->spare, b->model, NULL, NULL), 0);
    assert_int_equal(line_decoder_new(&b->next, b->spare, &b->info), 0);
    b->orders = orders_new(b->line, N_LINES, (struct line_clock){read_clock, b},
                           (struct orders_wake){wake, b});
    assert_non_null(b->orders);
    *state = b;
    return 0;
}

int bench_close(void **state)
{
    struct bench *b = *state;

    orders_free(b->orders);
    for (size_t i = 0; i < N_LINES; i++) {
        line_free(b->line[i]);
        latent_decoder_free(b->decoder[i]);
    }
    line_decoder_free(b->next);
    latent_decoder_free(b->spare);
    latent_model_close(b->model);
    sem_destroy(&b->work);
    free(b);
    return 0;
}

void send_marks(struct bench *b, size_t i, uint32_t marks)
{
    const struct wire_bins head = {.epoch = 1,
                                   .seq = b->seq[i]++,
                                   .t_source_ns = 1,
                                   .bin_width_us = b->info.bin_width_us,
                                   .n_channels = b->info.n_channels,
                                   .n_bins = 1};
    float counts[16] = {1};
    uint8_t message[MAX_MESSAGE];
    size_t n = wire_pack_bins(&head, counts, &marks, NULL, message, sizeof message);

    b->now_ns += BIN_NS;
    orders_take(b->orders);
    line_on_frame(b->line[i], message, n, b->now_ns);
    while (line_has_work(b->line[i])) {
        orders_take(b->orders);
        line_continue(b->line[i]);
    }
}

void send_bin(struct bench *b, size_t i)
{
    send_marks(b, i, 0);
}

enum line_state state_of(struct bench *b, size_t i)
{
    struct ledger_values v;

    assert_true(line_read(b->line[i], &v));
    return (enum line_state)v.value[STATE_STATE];
}

void assert_order(const struct order *order, enum order_state expected)
{
    uint64_t t_ns;

    assert_int_equal(order_look(order, &t_ns), expected);
    assert_int_equal(t_ns != 0, expected != ORDER_REFUSED && expected != ORDER_OWED);
}

void assert_heard(const struct heard *h, size_t n, const enum line_event_kind *expected)
{
    assert_int_equal(h->n, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(line_event_name(h->kind[i]), line_event_name(expected[i]));
}

void *run_data_thread(void *ctx)
{
    struct bench *b = ctx;

    while (!orders_are_stopped(b->orders)) {
        sem_wait(&b->work);
        orders_take(b->orders);
        for (size_t i = 0; i < N_LINES; i++) send_bin(b, i);
    }
    return NULL;
}

void wait_done(const struct order *order)
{
    uint64_t t_ns;

    while (order_look(order, &t_ns) == ORDER_OWED) sched_yield();
    assert_true(t_ns != 0);
}
