/* A reader beside the writer: rows come whole, in order, or not at all. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/trail.h"

#define N_WORDS 5
#define N_ROWS 64
#define N_PUT 200000u

static void put(struct trail *t, uint64_t i)
{
    uint64_t words[N_WORDS];

    for (uint64_t w = 0; w < N_WORDS; w++) words[w] = i * N_WORDS + w;
    trail_put(t, words);
}

static bool is_row(const uint64_t *words, uint64_t i)
{
    for (uint64_t w = 0; w < N_WORDS; w++)
        if (words[w] != i * N_WORDS + w) return false;
    return true;
}

static void test_written_over(void **state)
{
    struct trail t;
    uint64_t words[N_WORDS];

    (void)state;
    assert_int_equal(trail_open(&t, N_ROWS, N_WORDS), 0);
    assert_false(trail_read(&t, 0, words));
    for (uint64_t i = 0; i < 2 * N_ROWS; i++) {
        uint64_t first;

        put(&t, i);
        first = trail_first(&t, trail_count(&t));
        assert_int_equal(first, i + 1 < N_ROWS ? 0 : i + 2 - N_ROWS);
        assert_true(trail_read(&t, first, words) && is_row(words, first));
        assert_true(trail_read(&t, i, words) && is_row(words, i));
        assert_false(trail_read(&t, i + 1, words));
        if (first > 0) assert_false(trail_read(&t, first - 1, words));
    }
    trail_close(&t);
}

static void *write_all(void *ctx)
{
    for (uint64_t i = 0; i < N_PUT; i++) put(ctx, i);
    return NULL;
}

/* However fast either is: what is read is a row, and the rows that are left are all read. */
static void test_beside_the_writer(void **state)
{
    uint64_t words[N_WORDS], n_read = 0, n_missed = 0;
    struct trail t;
    pthread_t writer;

    (void)state;
    assert_int_equal(trail_open(&t, N_ROWS, N_WORDS), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_all, &t), 0);
    for (uint64_t i = 0; i < N_PUT;) {
        if (i >= trail_count(&t)) continue;
        if (trail_read(&t, i, words)) {
            assert_true(is_row(words, i));
            n_read++;
        } else {
            n_missed++;
        }
        i++;
    }
    pthread_join(writer, NULL);
    assert_int_equal(n_read + n_missed, N_PUT);
    assert_true(n_read > 0);
    trail_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_over),
        cmocka_unit_test(test_beside_the_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
