/* Ledgers: names, balance, and copies that balance while another thread counts. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line/ledger.h"

static struct ledger_values read_all(struct ledger *l)
{
    struct ledger_values v;
    assert_true(ledger_read(l, &v));
    return v;
}

static void count(struct ledger *l, enum counter a, enum counter b)
{
    ledger_open(l);
    ledger_add(l, a, 1);
    ledger_add(l, b, 1);
    ledger_close(l);
}

static void test_names(void **state)
{
    (void)state;
    for (enum counter c = 0; c < N_COUNTERS; c++) assert_non_null(counter_name(c));
    assert_string_equal(counter_name(MESSAGES_REFUSED_SEQUENCE), "refused.sequence");
    assert_string_equal(counter_name(BINS_LATE_AFTER_FILL), "late_after_fill");
    assert_string_equal(counter_name(FLAGS_FIRST), "WARMUP");
    assert_string_equal(counter_name(FLAGS_LAST), "BETWEEN");
}

/* The refusals of a message are reached by adding the reason to MESSAGES_ACCEPTED. */
static void test_refusals_in_order(void **state)
{
    char name[64] = "refused.";
    (void)state;
    for (int r = WIRE_REFUSED_LENGTH; r <= WIRE_REFUSED_SEQUENCE; r++) {
        strncpy(name + 8, wire_refusal_name((enum wire_refusal)r), sizeof name - 9);
        assert_string_equal(counter_name((enum counter)(MESSAGES_ACCEPTED + r)), name);
    }
}

static void test_groups_cover_everything(void **state)
{
    unsigned next = 0;
    (void)state;
    for (enum ledger_group g = 0; g < LEDGER_N_GROUPS; g++) {
        assert_int_equal(ledger_group_first(g), next);
        next = ledger_group_end(g);
    }
    assert_int_equal(next, N_COUNTERS);
}

static void test_balance(void **state)
{
    struct ledger l = {0};
    struct ledger_values v;
    char text[256];
    (void)state;
    count(&l, MESSAGES_IN, MESSAGES_REFUSED_FORMAT);
    count(&l, BINS_IN, BINS_DECODED);
    count(&l, FRAMES_DUE, FRAMES_PUBLISHED);
    v = read_all(&l);
    assert_true(ledger_check(&v, text, sizeof text));
    assert_string_equal(text, "");

    v.value[BINS_STALE]++; /* one too many on the right */
    assert_false(ledger_balanced(&v, LEDGER_BINS));
    assert_true(ledger_balanced(&v, LEDGER_FRAMES));
    assert_false(ledger_check(&v, text, sizeof text));
    assert_string_equal(text, "bins: in is 1, the rest adds up to 2");
}

/* Each counter of a ledger weighs: raising any one of them alone breaks the balance. */
static void test_every_counter_weighs(void **state)
{
    char text[256];
    (void)state;
    for (enum counter c = MESSAGES_IN; c < FLAGS_FIRST; c++) {
        struct ledger_values v = {{0}};
        assert_true(ledger_check(&v, text, sizeof text));
        v.value[c] = 1;
        assert_false(ledger_check(&v, text, sizeof text));
    }
}

static void test_frames_against_bins(void **state)
{
    struct ledger_values v = {{0}};
    char text[256];
    (void)state;
    v.value[FRAMES_DUE] = v.value[FRAMES_PUBLISHED] = 5;
    v.value[BINS_IN] = v.value[BINS_DECODED] = 2;
    v.value[SEQUENCE_FILLED] = 1;
    v.value[SEQUENCE_MISSING] = 1;
    assert_false(ledger_check(&v, text, sizeof text));
    assert_string_equal(text, "frames: due is 5, decoded + filled + missing is 4");
    v.value[SEQUENCE_FILLED] = 2;
    assert_true(ledger_check(&v, text, sizeof text));
}

/* A reader that comes between open and close must not see half a bin. */
static void test_no_copy_in_the_middle(void **state)
{
    struct ledger l = {0};
    struct ledger_values v;
    (void)state;
    ledger_open(&l);
    ledger_add(&l, BINS_IN, 1);
    assert_false(ledger_read(&l, &v));
    ledger_add(&l, BINS_DECODED, 1);
    ledger_close(&l);
    assert_true(ledger_read(&l, &v));
    assert_true(ledger_balanced(&v, LEDGER_BINS));
}

enum { N_COUNTED = 300000 };

static void *count_bins(void *ctx)
{
    struct ledger *l = ctx;
    for (int i = 0; i < N_COUNTED; i++) count(l, BINS_IN, i % 3 ? BINS_DECODED : BINS_STALE);
    return NULL;
}

static void test_copies_balance_meanwhile(void **state)
{
    struct ledger l = {0};
    struct ledger_values v;
    pthread_t writer;
    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, count_bins, &l), 0);
    do {
        if (!ledger_read(&l, &v)) continue; /* the writer was taken off its CPU inside */
        assert_true(ledger_balanced(&v, LEDGER_BINS));
    } while (v.value[BINS_IN] < N_COUNTED);
    pthread_join(writer, NULL);
    v = read_all(&l);
    assert_int_equal(v.value[BINS_STALE], N_COUNTED / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals_in_order),
        cmocka_unit_test(test_groups_cover_everything),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_every_counter_weighs),
        cmocka_unit_test(test_frames_against_bins),
        cmocka_unit_test(test_no_copy_in_the_middle),
        cmocka_unit_test(test_copies_balance_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
