/* When the parts of a strided item's work are made: about as much in every bin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "layers/blocks.h"

/* What n parts and blocks cost. */
static uint64_t cost_of(const struct ahead_plan *p, size_t n)
{
    size_t n_first = n < p->n_first ? n : p->n_first;
    return n_first * p->first_cost + (n - n_first) * p->block_cost;
}

/* The brain-to-text network, all items there: 14 of 512 every 4, five layers of 768. */
static void test_even(void **state)
{
    const uint64_t block = 3 * 768 * 512, square = 3 * 768 * 768;
    const struct ahead_plan p = {5, 13, square, block, block + 4 * square};
    uint64_t all = cost_of(&p, 18) + p.last_cost, before = 0;
    (void)state;
    for (uint64_t i = 1; i < 4; i++) {
        uint64_t done = cost_of(&p, ahead_done(&p, i, 4, 10 + i));
        assert_in_range(done - before, all / 4 - square, all / 4 + square);
        before = done;
    }
    assert_in_range(all - before, all / 4 - square, all / 4 + square);
}

/* Any plan: never back, never an item that is not there, never more than is due by a part. */
static void test_any(void **state)
{
    (void)state;
    for (size_t n_first = 0; n_first < 4; n_first++)
        for (size_t n_blocks = 0; n_blocks < 9; n_blocks++)
            for (uint64_t stride = 2; stride < 12; stride++) {
                const struct ahead_plan p = {n_first, n_blocks, 70, 30, 200};
                uint64_t all = cost_of(&p, n_first + n_blocks) + p.last_cost;
                size_t before = 0;
                for (uint64_t i = 1; i < stride; i++) {
                    size_t n_present = n_blocks * i / stride;
                    size_t n = ahead_done(&p, i, stride, n_present);
                    assert_true(n >= before && n <= n_first + n_present);
                    assert_true(cost_of(&p, n) <= all * i / stride + 70);
                    before = n;
                }
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_even),
        cmocka_unit_test(test_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
