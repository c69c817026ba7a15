/* When a refusal is said: at once, then rarely, whatever pours in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "latentd/refusals.h"

#define S 1000000000ull

static int n_said(struct refusal_said *said, uint64_t from_s, uint64_t to_s, uint64_t found,
                  uint64_t epochs)
{
    static uint64_t n;
    int said_n = 0;

    for (uint64_t t = from_s; t < to_s; t++) {
        struct refusal r = {.n = n + 1, .found = found, .epoch = t % epochs};

        n++;
        said_n += refusal_is_due(said, &r, t * S);
    }
    return said_n;
}

static void test_once_then_rarely(void **state)
{
    struct refusal_said said = {0};
    (void)state;
    assert_int_equal(n_said(&said, 1, 61, 96, 1), 1);
    assert_int_equal(n_said(&said, 61, 121, 96, 1), 1);
    assert_int_equal(n_said(&said, 121, 125, 48, 1), 1); /* another number */
    assert_int_equal(n_said(&said, 125, 131, 96, 1), 0); /* too soon after it */
    assert_int_equal(n_said(&said, 131, 140, 96, 1), 1);
}

static void test_sources_in_turns(void **state)
{
    struct refusal_said said = {0};
    (void)state;
    assert_in_range(n_said(&said, 1, 601, 96, 2), 50, 60); /* one in 10 s at most */
}

static void test_nothing_new(void **state)
{
    struct refusal_said said = {0};
    struct refusal r = {.n = 3, .found = 96};
    (void)state;
    assert_true(refusal_is_due(&said, &r, 5 * S));
    assert_false(refusal_is_due(&said, &r, 5000 * S));
    r.n = 4;
    assert_true(refusal_is_due(&said, &r, 5001 * S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_then_rarely),
        cmocka_unit_test(test_sources_in_turns),
        cmocka_unit_test(test_nothing_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
