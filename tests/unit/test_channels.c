/* Lists of channels: written and read again, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/channels.h"

enum { N = 100 };

static void check_list(const char *list, const char *written)
{
    uint8_t set[13] = {0};
    char why[100], again[300];

    if (!channels_read(list, true, set, N, why, sizeof why)) fail_msg("%s", why);
    channels_write(set, N, again, sizeof again);
    assert_string_equal(again, written);
}

static void test_lists(void **state)
{
    (void)state;
    check_list("3", "3");
    check_list("0,99", "0,99");
    check_list("17, 3 ,40-43", "3,17,40-43");
    check_list("5,4,4,6", "4-6");
    check_list("0-99", "0-99");
}

static void test_no_lists(void **state)
{
    static const char *const lists[] = {"",
                                        ",",
                                        "3,",
                                        "a",
                                        "-3",
                                        "3-",
                                        "3--4",
                                        "4-3",
                                        "3;4",
                                        "1e2",
                                        "3 4",
                                        "100",
                                        "0-100",
                                        "0x3",
                                        "3,,4",
                                        "+3",
                                        "99999999999999999999",
                                        " "};
    uint8_t set[13];
    char why[100];
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        why[0] = '\0';
        if (channels_read(lists[i], true, set, N, why, sizeof why)) fail_msg("'%s'", lists[i]);
        assert_true(strlen(why) > 10);
    }
}

/* Any set comes back; where there is no room for it, the list says so. */
static void test_sets(void **state)
{
    uint8_t set[13], again[13];
    char list[500], small[16], why[100];
    (void)state;
    srand(7);
    for (int round = 0; round < 2000; round++) {
        int share = rand() % 100;

        memset(set, 0, sizeof set);
        memset(again, 0xff, sizeof again);
        for (size_t c = 0; c < N; c++) channels_set(set, c, rand() % 100 < share);
        channels_write(set, N, list, sizeof list);
        channels_write(set, N, small, sizeof small);
        assert_true(strlen(small) < sizeof small);
        assert_true(strcmp(list, small) == 0 || strcmp(small + strlen(small) - 3, "...") == 0);
        if (channels_count(set, N) == 0) {
            assert_string_equal(list, "none");
            continue;
        }
        assert_true(channels_read("0-99", false, again, N, why, sizeof why));
        assert_true(channels_read(list, true, again, N, why, sizeof why));
        for (size_t c = 0; c < N; c++)
            assert_int_equal(channels_has(again, c), channels_has(set, c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists), cmocka_unit_test(test_no_lists), cmocka_unit_test(test_sets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
