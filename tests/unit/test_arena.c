/* Arenas: what is handed out, what a counting run adds up, and absurd sizes; texts of
 * errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/error.h"

static void test_pieces_are_aligned_zeroed_and_apart(void **unused)
{
    (void)unused;
    struct arena a;
    assert_int_equal(arena_new(&a, 1000), 0);
    unsigned char *first = arena_take(&a, 1);
    float *second = arena_floats(&a, 17);
    double *third = arena_doubles(&a, 3);
    assert_int_equal((uintptr_t)first % ARENA_ALIGN, 0);
    assert_int_equal((uintptr_t)second % ARENA_ALIGN, 0);
    assert_int_equal((uintptr_t)third % ARENA_ALIGN, 0);
    assert_ptr_equal(second, first + 64);
    assert_ptr_equal(third, first + 64 + 128);
    for (size_t i = 0; i < 17; i++) assert_true(second[i] == 0.0f);
    assert_int_equal(a.used, 64 + 128 + 64);
    arena_free(&a);
    assert_null(a.base);
    assert_int_equal(a.used, 0);
}

static void take_some(struct arena *a)
{
    static const int source[5] = {1, 2, 3, 4, 5};
    arena_floats(a, 1000);
    arena_take(a, 0);
    int *copy = arena_copy(a, source, sizeof source);
    if (copy) assert_memory_equal(copy, source, sizeof source);
    arena_doubles(a, 9);
}

static void test_counting_run_gives_the_exact_size(void **unused)
{
    (void)unused;
    struct arena counting = {0}, real;
    assert_null(arena_take(&counting, 1));
    counting.used = 0;
    take_some(&counting);
    assert_int_equal(counting.used, 4032 + 64 + 128);
    assert_int_equal(arena_new(&real, counting.used), 0);
    take_some(&real);
    assert_int_equal(real.used, real.size);
    arena_free(&real);
}

static void test_absurd_sizes_saturate(void **unused)
{
    (void)unused;
    struct arena counting = {0}, real;
    arena_doubles(&counting, SIZE_MAX / 4);
    assert_true(counting.used == SIZE_MAX);
    arena_take(&counting, 100);
    assert_true(counting.used == SIZE_MAX);
    assert_int_equal(arena_new(&real, counting.used), LATENT_E_NOMEM);
    assert_null(real.base);
    arena_free(&real);
}

static void test_error_text_is_safe_to_print(void **unused)
{
    (void)unused;
    struct latent_error err;
    int status =
        error_set(&err, LATENT_E_FORMAT, "tensor \"%s\"", "a\nb\x1b[31m\xff \xc3\xa9 \xc2\x85");
    assert_int_equal(status, LATENT_E_FORMAT);
    assert_int_equal(err.status, LATENT_E_FORMAT);
    assert_string_equal(err.text, "tensor \"a?b?[31m? \xc3\xa9 ??\"");
    assert_int_equal(error_set(NULL, LATENT_E_IO, "nobody asks"), LATENT_E_IO);
}

static void test_long_error_text_is_cut_between_characters(void **unused)
{
    (void)unused;
    struct latent_error err;
    for (size_t shift = 0; shift < 4; shift++) {
        char text[LATENT_ERROR_TEXT * 2] = "";
        memset(text, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof text; i += 3) memcpy(text + i, "\xe2\x82\xac", 4);
        error_set(&err, LATENT_E_IO, "%s", text);
        size_t n = strlen(err.text);
        assert_in_range(n, LATENT_ERROR_TEXT - 4, LATENT_ERROR_TEXT - 1);
        assert_string_equal(err.text + n - 3, "...");
        assert_null(strchr(err.text, '?'));
    }
}

static void test_what_counts_as_clean_text(void **unused)
{
    (void)unused;
    assert_true(text_is_clean("Gr\xc3\xb6\xc3\x9f" /* e would be read as a digit */
                              "e \xf0\x9f\xa7\xa0"));
    static const char *const unclean[] = {
        "tab\t",        "del\x7f",      "c1\xc2\x80",       "half\xe2\x82",     "\xc0\xaf",
        "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x80\x80\x80", "\x80",
    };
    for (size_t i = 0; i < sizeof unclean / sizeof unclean[0]; i++)
        if (text_is_clean(unclean[i])) fail_msg("text %zu was called clean", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_aligned_zeroed_and_apart),
        cmocka_unit_test(test_counting_run_gives_the_exact_size),
        cmocka_unit_test(test_absurd_sizes_saturate),
        cmocka_unit_test(test_error_text_is_safe_to_print),
        cmocka_unit_test(test_long_error_text_is_cut_between_characters),
        cmocka_unit_test(test_what_counts_as_clean_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
