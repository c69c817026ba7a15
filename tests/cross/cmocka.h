/* As much of cmocka as test_kernels.c uses, for machines that have a compiler but no
 * cmocka. */
#ifndef CROSS_CMOCKA_H
#define CROSS_CMOCKA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(function) \
    {                              \
#function, function        \
    }
#define print_message printf

#define assert_true(condition)                                 \
    do {                                                       \
        if (condition) break;                                  \
        printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
        exit(1);                                               \
    } while (0)
#define assert_false(condition) assert_true(!(condition))
#define assert_int_equal(a, b) assert_true((intmax_t)(a) == (intmax_t)(b))
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)

static inline int tests_run(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tests[i].run(NULL);
        printf("OK %s\n", tests[i].name);
    }
    return 0;
}
#define cmocka_run_group_tests(tests, setup, teardown) \
    tests_run(tests, sizeof(tests) / sizeof *(tests))

#endif
