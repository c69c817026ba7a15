/* The ring of the record: whole groups in order, nothing of what found no room, and the
 * same with two threads at once (under the thread sanitizer, too). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "feed/ring.h"

enum { RING_BYTES = 4096, N_GROUPS = 40000, MAX_RECORDS = 5, MAX_BYTES = 400 };

/* ---- one thread ---- */

static void put_text(struct ring *r, uint32_t kind, const char *text)
{
    void *at = ring_put(r, kind, strlen(text));

    assert_non_null(at);
    memcpy(at, text, strlen(text));
}

static void assert_taken(struct ring *r, uint32_t kind, const char *text)
{
    struct ring_record record;

    assert_true(ring_take(r, &record));
    assert_int_equal(record.kind, kind);
    assert_int_equal(record.n_bytes, strlen(text));
    assert_memory_equal(record.bytes, text, record.n_bytes);
    assert_int_equal((uintptr_t)record.bytes % 8, 0);
}

static void assert_nothing(struct ring *r)
{
    struct ring_record record;

    ring_look(r);
    assert_false(ring_take(r, &record));
}

static void test_groups(void **state)
{
    struct ring *r = ring_new(RING_BYTES);
    struct ring_record record;

    (void)state;
    assert_non_null(r);
    assert_nothing(r);
    put_text(r, 1, "first");
    put_text(r, 2, "");
    assert_nothing(r); /* not before it is complete */
    ring_commit(r);
    put_text(r, 3, "of the next group");
    ring_look(r);
    ring_commit(r); /* after the look: for the next one */
    assert_taken(r, 1, "first");
    assert_taken(r, 2, "");
    assert_false(ring_take(r, &record));
    ring_look(r);
    assert_taken(r, 3, "of the next group");
    ring_release(r);
    assert_int_equal(ring_used(r), 0);
    ring_free(r);
}

static void test_forgotten_group(void **state)
{
    struct ring *r = ring_new(RING_BYTES);

    (void)state;
    put_text(r, 1, "kept");
    ring_commit(r);
    put_text(r, 2, "forgotten");
    put_text(r, 3, "as well");
    ring_abort(r);
    put_text(r, 4, "in their place");
    ring_commit(r);
    ring_look(r);
    assert_taken(r, 1, "kept");
    assert_taken(r, 4, "in their place");
    assert_nothing(r);
    ring_free(r);
}

/* Until it is full, then exactly what was put, then all of it is free again. */
static void test_full(void **state)
{
    struct ring *r = ring_new(RING_BYTES);

    (void)state;
    assert_int_equal(ring_size(r), RING_BYTES);
    assert_null(ring_put(r, 1, RING_BYTES / 2 + 1)); /* could never wrap */
    for (int round = 0; round < 100; round++) {
        unsigned n = 0, n_taken = 0;
        struct ring_record record;

        while (ring_put(r, n, 100)) n++;
        assert_in_range(n, RING_BYTES / (100 + 12 + 8) - 1, RING_BYTES / (100 + 8));
        ring_abort(r);
        assert_int_equal(ring_used(r), 0);
        for (unsigned i = 0; i < n; i++) {
            assert_non_null(ring_put(r, i, 100));
            ring_commit(r);
        }
        assert_null(ring_put(r, n, 100));
        ring_look(r);
        for (; ring_take(r, &record); n_taken++) assert_int_equal(record.kind, n_taken);
        assert_int_equal(n_taken, n);
        assert_null(ring_put(r, n, 100)); /* taken is not yet released */
        ring_release(r);
        assert_int_equal(ring_used(r), 0);
        assert_non_null(ring_put(r, 0, 40)); /* the next round starts elsewhere */
        ring_commit(r);
        ring_look(r);
        assert_true(ring_take(r, &record));
        ring_release(r);
    }
    ring_free(r);
}

/* ---- two threads ---- */

/* A group that came through tells its number; its records, their place and bytes. */
struct mark {
    uint32_t group, place, n_records;
};

struct producer {
    struct ring *ring;
    uint32_t random;
    uint64_t n_put, n_dropped;
    _Atomic bool done;
};

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

static bool put_group(struct producer *p, uint32_t group)
{
    uint32_t n_records = 1 + next_random(&p->random) % MAX_RECORDS;

    for (uint32_t place = 0; place < n_records; place++) {
        const struct mark mark = {group, place, n_records};
        uint32_t n_bytes = next_random(&p->random) % MAX_BYTES;
        unsigned char *at = ring_put(p->ring, n_bytes, sizeof mark + n_bytes);

        if (!at) return false;
        memcpy(at, &mark, sizeof mark);
        memset(at + sizeof mark, (int)(group & 0xff), n_bytes);
    }
    return true;
}

static void *produce(void *ctx)
{
    struct producer *p = ctx;

    for (uint32_t group = 0; group < N_GROUPS; group++) {
        if (put_group(p, group)) {
            ring_commit(p->ring);
            p->n_put++;
        } else {
            ring_abort(p->ring);
            p->n_dropped++;
        }
    }
    atomic_store(&p->done, true);
    return NULL;
}

/* The place that is due; the group must be a later one each time it is 0. */
static struct mark check_record(const struct ring_record *record, struct mark last)
{
    struct mark mark;
    const unsigned char *bytes = record->bytes;
    bool starts = last.place + 1 == last.n_records;

    assert_true(record->n_bytes >= sizeof mark);
    memcpy(&mark, bytes, sizeof mark);
    assert_int_equal(record->n_bytes, sizeof mark + record->kind);
    assert_int_equal(mark.place, starts ? 0 : last.place + 1);
    if (starts)
        assert_true(last.group == UINT32_MAX || mark.group > last.group);
    else
        assert_int_equal(mark.group, last.group);
    for (size_t i = sizeof mark; i < record->n_bytes; i++)
        assert_int_equal(bytes[i], mark.group & 0xff);
    return mark;
}

static struct mark take_all(struct ring *r, struct mark last, uint64_t *n_groups)
{
    struct ring_record record;

    ring_look(r);
    while (ring_take(r, &record)) {
        last = check_record(&record, last);
        *n_groups += last.place + 1 == last.n_records;
        if (last.group % 3 == 0) ring_release(r);
    }
    assert_int_equal(last.place + 1, last.n_records); /* a group was whole */
    ring_release(r);
    return last;
}

static void test_two_threads(void **state)
{
    struct producer p = {.ring = ring_new(RING_BYTES), .random = 20260401};
    struct mark last = {.group = UINT32_MAX, .n_records = 1};
    uint64_t n_groups = 0;
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, produce, &p), 0);
    while (!atomic_load(&p.done)) last = take_all(p.ring, last, &n_groups);
    pthread_join(thread, NULL);
    take_all(p.ring, last, &n_groups);
    assert_int_equal(n_groups, p.n_put);
    assert_int_equal(p.n_put + p.n_dropped, N_GROUPS);
    ring_free(p.ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_forgotten_group),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
