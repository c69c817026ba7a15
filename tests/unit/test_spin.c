/* When the data loop asks its sockets instead of sleeping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "latentd/spin.h"
#include "latentd/stream.h"

#define MS 1000000u

struct streams {
    struct conf_stream_section sections[2];
    struct stream streams[2], *list[2];
};

/* Two streams with bins of 20 ms whose last message came at these times. */
static void streams_init(struct streams *s, uint64_t spin_ns, uint64_t first_ns, uint64_t second_ns)
{
    *s = (struct streams){0};
    for (int i = 0; i < 2; i++) {
        s->sections[i].values.spin_ns = spin_ns;
        s->streams[i] = (struct stream){
            .conf = &s->sections[i], .bin_ns = 20 * MS, .recv_ns = i ? second_ns : first_ns};
        s->list[i] = &s->streams[i];
    }
}

static void check_due(struct streams *s, uint64_t now_ns, bool due)
{
    assert_int_equal(spin_is_due(s->list, 2, now_ns), due);
}

static void test_window(void **state)
{
    (void)state;
    struct streams s;
    streams_init(&s, 3 * MS, 1000 * MS, 0); /* the second has had no message */
    check_due(&s, 1000 * MS, false);
    check_due(&s, 1017 * MS - 1, false);
    check_due(&s, 1017 * MS, true);
    check_due(&s, 1023 * MS - 1, true);
    check_due(&s, 1023 * MS, false);
    assert_int_equal(spin_next_ns(s.list, 2, 1000 * MS), 1017 * MS);
    assert_true(spin_next_ns(s.list, 2, 1017 * MS) == UINT64_MAX);
}

static void test_two_streams(void **state)
{
    (void)state;
    struct streams s;
    streams_init(&s, 1 * MS, 1000 * MS, 1005 * MS);
    assert_int_equal(spin_next_ns(s.list, 2, 1006 * MS), 1019 * MS);
    check_due(&s, 1020 * MS, true);
    check_due(&s, 1022 * MS, false);
    assert_int_equal(spin_next_ns(s.list, 2, 1022 * MS), 1024 * MS);
    check_due(&s, 1025 * MS, true);
}

/* Never before the last message, never more than a bin after the expected one. */
static void test_at_most_a_bin(void **state)
{
    (void)state;
    struct streams s;
    streams_init(&s, 5000000000u, 1 * MS, 0);
    check_due(&s, 1 * MS, true);
    check_due(&s, 41 * MS - 1, true);
    check_due(&s, 41 * MS, false);
}

static void test_off(void **state)
{
    (void)state;
    struct streams s;
    streams_init(&s, 0, 1000 * MS, 1000 * MS);
    check_due(&s, 1020 * MS, false);
    assert_true(spin_next_ns(s.list, 2, 1000 * MS) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_two_streams),
        cmocka_unit_test(test_at_most_a_bin),
        cmocka_unit_test(test_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
