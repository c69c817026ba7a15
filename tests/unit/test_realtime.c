/* The real-time rule, on the line with a stub sink and a record that does not always
 * keep up: over 10,000 bins with gaps, resets, refusals and restarts not one
 * allocation, and no page fault. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "allocation_count.h"
#include "feed/feed.h"
#include "line/line.h"
#include "model_maker.h"
#include "shadow/shadow.h"
#include "wire.h"

enum {
    N_BINS = 10000,
    N_KINDS = 10,
    RING_TURN = 1000,
    MAX_MESSAGE = 1024,
    MAX_CHANNELS = 4,
    ATTEMPTS = 5
};

static const struct {
    const char *name, *mode;
    struct model_parts (*make)(void);
} models[] = {{"kalman", NULL, maker_kalman},
              {"gru with a stage", NULL, maker_stage},
              {"gru", NULL, maker_gru},
              {"ndt C", "C", maker_ndt},
              {"ndt A", "A", maker_ndt}};
#define N_MODELS (sizeof models / sizeof models[0])

struct bench {
    latent_model *model;
    struct latent_info info;
    latent_decoder *decoder, *other;
    struct line_decoder *spare; /* the one that is not in use */
    struct line_decoder *own;   /* around the other */
    struct line *line;
    struct ring *ring;
    struct feed feed;
    struct recent *recent; /* for shadows, of which there is none */
    uint64_t epoch, seq;
    size_t n_sent;
};

static uint64_t now_ns(void *ctx)
{
    struct timespec t;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int take(void *ctx, const char *topic, const void *bytes, size_t n)
{
    struct bench *b = ctx;
    (void)topic;
    (void)bytes;
    b->n_sent += n > 0;
    return 0;
}

static void bench_open(struct bench *b, size_t index, enum line_on_gap on_gap)
{
    const struct line_options options = {.name = "arm",
                                         .sequence = {.window_bins = 16, .max_gap_bins = 25},
                                         .budget_ns = 5000000,
                                         .source_clock = SOURCE_CLOCK_AUTO,
                                         .valid_for_ns = 50000000,
                                         .policy = {.on_gap = on_gap,
                                                    .on_late = ON_LATE_HOLD_FRAME,
                                                    .on_missing = ON_MISSING_PREDICT,
                                                    .missing_after_ns = 1000000000,
                                                    .lease_ns = 2000000000,
                                                    .max_age_ns = 1000000000,
                                                    .safe_ramp_ns = 100000,
                                                    .safe_exit_bins = 3},
                                         .send_readout = true};
    const struct latent_options decoder_options = {.mode = models[index].mode, .predicts = 1};
    struct model_parts parts = models[index].make();
    struct file_bytes file = maker_file(&parts);

    *b = (struct bench){.epoch = 1};
    assert_int_equal(model_open_bytes(&b->model, file.bytes, file.n, NULL), 0);
    free(file.bytes);
    latent_model_info(b->model, &b->info);
    assert_int_equal(latent_decoder_new(&b->decoder, b->model, &decoder_options, NULL), 0);
    assert_int_equal(line_new(&b->line, b->decoder, &b->info, &options,
                              (struct line_clock){now_ns, NULL}, (struct line_sink){take, b}),
                     0);
    assert_int_equal(latent_decoder_new(&b->other, b->model, &decoder_options, NULL), 0);
    assert_int_equal(line_decoder_new(&b->own, b->other, &b->info), 0);
    b->spare = b->own;
    b->ring = ring_new(feed_least_ring(b->line));
    assert_non_null(b->ring);
    feed_init(&b->feed, b->ring, b->line);
    assert_true(line_add_tap(b->line, feed_tap(&b->feed)));
    b->recent = recent_new(b->info.n_channels, b->info.n_readout);
    assert_non_null(b->recent);
    assert_true(line_add_tap(b->line, recent_tap(b->recent)));
}

/* What a recorder does with the ring. */
static void empty_ring(struct bench *b)
{
    struct ring_record record;

    ring_look(b->ring);
    while (ring_take(b->ring, &record)) continue;
    ring_release(b->ring);
}

static void bench_close(struct bench *b)
{
    line_free(b->line);
    ring_free(b->ring);
    recent_free(b->recent);
    line_decoder_free(b->own);
    latent_decoder_free(b->other);
    latent_decoder_free(b->decoder);
    latent_model_close(b->model);
}

static void send_bin(struct bench *b, float count, uint32_t marks)
{
    const struct wire_bins head = {.epoch = b->epoch,
                                   .seq = b->seq++,
                                   .t_source_ns = 1,
                                   .bin_width_us = b->info.bin_width_us,
                                   .n_channels = b->info.n_channels,
                                   .n_bins = 1};
    float counts[MAX_CHANNELS] = {count, 0, 0, count};
    uint8_t message[MAX_MESSAGE];
    size_t n = wire_pack_bins(&head, counts, &marks, NULL, message, sizeof message);

    line_on_frame(b->line, message, n, now_ns(NULL));
    while (line_has_work(b->line)) line_continue(b->line);
}

/* What else can happen to a bin, in turn. */
static void do_something_else(struct bench *b, unsigned kind)
{
    switch (kind % N_KINDS) {
    case 0:
        b->seq += 3;
        break;
    case 1:
        b->seq += 1000000000;
        break;
    case 2:
        b->epoch++;
        break;
    case 3:
        line_reset(b->line);
        break;
    case 4:
        line_on_frame(b->line, "\xff\xff", 2, now_ns(NULL));
        break;
    case 5:
        line_safe_on(b->line, now_ns(NULL));
        break;
    case 6:
        line_safe_off(b->line);
        break;
    case 7: /* as if time had passed */
        line_on_tick(b->line, line_next_tick_ns(b->line, false), false);
        break;
    case 8:
        b->spare = line_promote(b->line, b->spare, PROMOTE_ASKED);
        break;
    default:
        send_bin(b, INFINITY, 0);
        break;
    }
}

static void run_bins(struct bench *b, unsigned n_bins)
{
    for (unsigned i = 0; i < n_bins; i++) {
        if (i % 50 == 49) do_something_else(b, i / 50);
        if (i % RING_TURN == 0) empty_ring(b);
        send_bin(b, (float)(i % 3), i % 7 == 0 ? LATENT_MARK_TRIAL_START : 0);
    }
}

static void check_outcome(struct bench *b)
{
    struct ledger_values v;
    char text[256];

    assert_true(line_read(b->line, &v));
    if (!ledger_check(&v, text, sizeof text)) fail_msg("%s", text);
    assert_true(v.value[BINS_DECODED] + v.value[BINS_LATE_AFTER_FILL] >= N_BINS);
    assert_true(v.value[SEQUENCE_MISSING] > 0); /* SAFE, predicted ahead */
    assert_true(v.value[SEQUENCE_FILLED] > 0 && v.value[SEQUENCE_RESETS] > 0);
    assert_true(v.value[SEQUENCE_RESTARTS] > 0 && v.value[BINS_REFUSED_VALUE] > 0);
    assert_true(v.value[MESSAGES_REFUSED_FORMAT] > 0);
    assert_int_equal(v.value[FRAMES_PUBLISHED], b->n_sent);
    assert_true(v.value[FLAGS_FIRST + 8] >= N_BINS / 50 / N_KINDS); /* SWAPPED */
    assert_true(b->feed.counts.n_thinned > 0 && b->feed.counts.n_lost > 0);
    assert_true(b->feed.counts.lost_frames + b->feed.counts.n_thinned < v.value[BINS_DECODED]);
}

static void test_counter_counts(void **state)
{
    void *volatile memory;
    (void)state;
    allocation_count_start();
    memory = malloc(10);
    free(memory);
    assert_int_equal(allocation_count_stop(), 2);
    allocation_count_start();
    memory = strdup("by a library");
    assert_int_equal(allocation_count_stop(), 1);
    free(memory);
}

static void test_no_allocation(void **state)
{
    (void)state;
    for (size_t m = 0; m < N_MODELS; m++) {
        struct bench b;
        size_t n_calls;
        bench_open(&b, m, m % 2 ? ON_GAP_HOLD_INPUT : ON_GAP_PREDICT);
        allocation_count_start();
        run_bins(&b, N_BINS);
        line_stop(b.line, now_ns(NULL));
        n_calls = allocation_count_stop();
        if (n_calls) fail_msg("%s: %zu calls of malloc or free", models[m].name, n_calls);
        check_outcome(&b);
        bench_close(&b);
    }
}

static long minor_faults(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_minflt + usage.ru_majflt;
}

static void test_faults_are_seen(void **state)
{
    const size_t n_pages = 10, n = n_pages * 4096;
    long before;
    volatile char *memory =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)state;
    assert_true(memory != MAP_FAILED);
    madvise((void *)(uintptr_t)memory, n, MADV_NOHUGEPAGE);
    before = minor_faults();
    for (size_t i = 0; i < n; i += 4096) memory[i] = 1;
    assert_true(minor_faults() - before >= (long)n_pages);
    munmap((void *)(uintptr_t)memory, n);
}

/* The kernel itself may move a page now and then, so one clean run in a few is asked
 * for: code that faults does it in each. */
static void test_no_page_fault(void **state)
{
    (void)state;
    if (ALLOCATION_COUNT_SANITIZED) return; /* a sanitizer's shadow memory faults */
    for (size_t m = 0; m < N_MODELS; m++) {
        long fewest = -1;
        struct bench b;
        bench_open(&b, m, m % 2 ? ON_GAP_PREDICT : ON_GAP_HOLD_INPUT);
        run_bins(&b, 400); /* every kind of event once: the code itself is paged in */
        for (int i = 0; i < ATTEMPTS && fewest != 0; i++) {
            long before = minor_faults(), faults;
            run_bins(&b, N_BINS);
            faults = minor_faults() - before;
            if (fewest < 0 || faults < fewest) fewest = faults;
        }
        if (fewest) fail_msg("%s: %ld page faults", models[m].name, fewest);
        check_outcome(&b);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counter_counts),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_faults_are_seen),
        cmocka_unit_test(test_no_page_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
