/* Trial steps at start: one that was held up is let pass, more than one in a hundred is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setup/admission.h"

#define BUDGET_NS 5000000u

/* n steps, of which the last n_slow are over the budget. */
static struct admission run(uint64_t n, uint64_t n_slow)
{
    struct admission a = {.budget_ns = BUDGET_NS};

    for (uint64_t i = 0; i < n; i++) admission_add(&a, i + n_slow < n ? BUDGET_NS : BUDGET_NS + 1);
    assert_int_equal(a.n_steps, n);
    assert_int_equal(a.n_slow, n_slow);
    return a;
}

static void test_slow_steps(void **state)
{
    static const struct {
        uint64_t n, n_slow;
        bool is_slow;
    } rows[] = {{0, 0, false},   {1, 0, false},   {1, 1, true},   {2, 1, false},
                {2, 2, true},    {10, 1, false},  {10, 2, true},  {300, 0, false},
                {300, 1, false}, {300, 3, false}, {300, 4, true}, {300, 300, true}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct admission a = run(rows[i].n, rows[i].n_slow);

        assert_int_equal(admission_is_slow(&a), rows[i].is_slow);
    }
}

static void test_longest(void **state)
{
    struct admission a = {.budget_ns = BUDGET_NS};

    (void)state;
    admission_add(&a, 3);
    admission_add(&a, 900000000);
    admission_add(&a, 4);
    assert_int_equal(a.longest_ns, 900000000);
    assert_false(admission_is_slow(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slow_steps),
                                       cmocka_unit_test(test_longest)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
