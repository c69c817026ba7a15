/* Typed access to a configuration object: values, and the text of every mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fields.h"
#include "tensor_file.h"

struct fixture {
    json_t *object;
    struct latent_error err;
    struct fields c;
};

static void open_config(struct fixture *f, const char *text)
{
    json_error_t why;
    *f = (struct fixture){0};
    f->object = json_loads(text, 0, &why);
    assert_non_null(f->object);
    fields_init(&f->c, f->object, "latent.config.hyper", &f->err);
}

/* End of a test that expects an error: status, and a text with all the words. */
static void close_refused(struct fixture *f, int status, const char *const *words)
{
    assert_int_equal(f->c.status, status);
    assert_int_equal(f->err.status, status);
    assert_text_has(f->err.text, words);
    json_decref(f->object);
}

static void test_values(void **unused)
{
    (void)unused;
    static const char *const kinds[] = {"layer", "scale", NULL};
    struct fixture f;
    open_config(&f, "{\"i\":-3,\"b\":true,\"n\":2.5,\"m\":4,\"s\":\"\",\"t\":\"text\","
                    "\"k\":\"scale\","
                    "\"a\":[1,2],\"o\":{},\"v\":null}");
    assert_int_equal(fields_int(&f.c, "i", -3, 3), -3);
    assert_true(fields_bool(&f.c, "b"));
    assert_true(fields_number(&f.c, "n", 0.0, 2.5) == 2.5);
    assert_true(fields_number(&f.c, "m", 0.0, 5.0) == 4.0);
    assert_string_equal(fields_string(&f.c, "s"), "");
    assert_string_equal(fields_text(&f.c, "t", 4), "text");
    assert_int_equal(fields_choice(&f.c, "k", kinds), 1);
    assert_int_equal(json_array_size(fields_array(&f.c, "a", 1, 2)), 2);
    assert_true(json_is_object(fields_object(&f.c, "o")));
    assert_true(json_is_null(fields_value(&f.c, "v")));
    assert_null(fields_value(&f.c, "absent"));
    assert_true(fields_has(&f.c, "v"));
    assert_false(fields_has(&f.c, "absent"));
    assert_int_equal(fields_finish(&f.c), 0);
    json_decref(f.object);
}

static void test_integer_of_another_kind(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{\"layers\":\"six\"}");
    assert_int_equal(fields_int(&f.c, "layers", 1, 64), 1);
    close_refused(&f, LATENT_E_CONFIG,
                  WORDS("latent.config.hyper: \"layers\" expected an integer from "
                        "1 to 64, found \"six\""));
}

static void test_integer_out_of_bounds(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {
        "0", "65", "1.0", "true", "null", "[1]", "-9223372036854775808"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct fixture f;
        char text[64], found[64];
        snprintf(text, sizeof text, "{\"layers\":%s}", wrong[i]);
        snprintf(found, sizeof found, "found %s", wrong[i]);
        open_config(&f, text);
        assert_int_equal(fields_int(&f.c, "layers", 1, 64), 1);
        close_refused(&f, LATENT_E_CONFIG, WORDS("\"layers\"", "from 1 to 64", found));
    }
}

static void test_one_allowed_integer(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{\"format\":2}");
    fields_int(&f.c, "format", 1, 1);
    close_refused(&f, LATENT_E_CONFIG, WORDS("\"format\" expected 1, found 2"));
}

/* Each reader on a value of the wrong kind, and on an absent key. */
static void read_as(struct fields *c, int kind)
{
    static const char *const words[] = {"yes", "no", NULL};
    switch (kind) {
    case 0:
        fields_bool(c, "key");
        break;
    case 1:
        fields_number(c, "key", -1.0, 1.0);
        break;
    case 2:
        assert_string_equal(fields_string(c, "key"), "");
        break;
    case 3:
        assert_string_equal(fields_text(c, "key", 3), "");
        break;
    case 4:
        assert_int_equal(fields_choice(c, "key", words), 0);
        break;
    case 5:
        assert_null(fields_array(c, "key", 2, 2));
        break;
    case 6:
        assert_null(fields_object(c, "key"));
        break;
    default:
        fields_int(c, "key", 0, 9);
    }
}

static void test_wrong_kind_or_missing(void **unused)
{
    (void)unused;
    static const struct {
        int kind;
        const char *value, *expected;
    } cases[] = {
        {0, "1", "expected true or false, found 1"},
        {1, "\"1\"", "expected a number from -1 to 1, found \"1\""},
        {1, "1.5", "found 1.5"},
        {2, "7", "expected a string, found 7"},
        {3, "\"four\"", "expected a string of 1 to 3 bytes without control characters, found"},
        {3, "\"\"", "found \"\""},
        {3, "\"\\n\"", "found \"\\n\""},
        {3, "{}", "found {}"},
        {4, "\"maybe\"", "expected one of \"yes\", \"no\", found \"maybe\""},
        {4, "false", "found false"},
        {5, "[1,2,3]", "expected a list of 2 items, found 3"},
        {5, "\"ab\"", "found \"ab\""},
        {6, "[]", "expected an object, found []"},
        {7, "null", "found null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        char text[64];
        snprintf(text, sizeof text, "{\"key\":%s}", cases[i].value);
        open_config(&f, text);
        read_as(&f.c, cases[i].kind);
        close_refused(&f, LATENT_E_CONFIG,
                      WORDS("latent.config.hyper: \"key\"", cases[i].expected));
        open_config(&f, "{}");
        read_as(&f.c, cases[i].kind);
        close_refused(&f, LATENT_E_CONFIG, WORDS("\"key\" is missing: expected "));
    }
}

static void test_long_values_are_cut(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{\"layers\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
                    "0,0,0,0,0,0,0,0]}");
    fields_int(&f.c, "layers", 1, 64);
    close_refused(&f, LATENT_E_CONFIG, WORDS("found [0,0,", "..."));
}

static void test_missing_key_names_a_misspelt_one(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{\"heads\":2,\"layerz\":6}");
    fields_int(&f.c, "heads", 1, 64);
    fields_int(&f.c, "layers", 1, 64);
    close_refused(&f, LATENT_E_CONFIG,
                  WORDS("\"layers\" is missing: expected an integer from 1 to 64, "
                        "found \"layerz\""));
}

static void test_unknown_key_names_the_nearest(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{\"heads\":2,\"layers\":6,\"headz\":3}");
    fields_int(&f.c, "heads", 1, 64);
    fields_int(&f.c, "layers", 1, 64);
    fields_finish(&f.c);
    close_refused(&f, LATENT_E_CONFIG,
                  WORDS("unknown key \"headz\"", "nearest known key \"heads\""));
}

static void test_unknown_key_like_no_other(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{\"heads\":2,\"dropout\":0.5}");
    fields_int(&f.c, "heads", 1, 64);
    fields_finish(&f.c);
    close_refused(&f, LATENT_E_CONFIG, WORDS("unknown key \"dropout\"", "expected no such key"));
    assert_null(strstr(f.err.text, "nearest"));
}

/* A key is not read because another one that contains it was. */
static void test_part_of_a_key_is_another_key(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{\"embed_dim\":2,\"embed\":1,\"dim\":3}");
    fields_int(&f.c, "embed_dim", 0, 9);
    fields_int(&f.c, "dim", 0, 9);
    fields_finish(&f.c);
    close_refused(&f, LATENT_E_CONFIG, WORDS("unknown key \"embed\""));
}

static void test_first_error_wins(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{\"a\":1,\"b\":2,\"c\":3}");
    fields_bool(&f.c, "a");
    fields_string(&f.c, "b");
    assert_int_equal(fields_refuse(&f.c, LATENT_E_NOMEM, "b", "anything"), LATENT_E_CONFIG);
    assert_int_equal(fields_finish(&f.c), LATENT_E_CONFIG);
    close_refused(&f, LATENT_E_CONFIG, WORDS("\"a\"", "found 1"));
}

static void test_refusal_by_the_caller(void **unused)
{
    (void)unused;
    struct fixture f;
    open_config(&f, "{}");
    int status = fields_refuse(&f.c, LATENT_E_UNSUPPORTED, NULL, "expected %d, found %d", 1, 2);
    assert_int_equal(status, LATENT_E_UNSUPPORTED);
    close_refused(&f, LATENT_E_UNSUPPORTED, WORDS("latent.config.hyper: expected 1, found 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_integer_of_another_kind),
        cmocka_unit_test(test_integer_out_of_bounds),
        cmocka_unit_test(test_one_allowed_integer),
        cmocka_unit_test(test_wrong_kind_or_missing),
        cmocka_unit_test(test_long_values_are_cut),
        cmocka_unit_test(test_missing_key_names_a_misspelt_one),
        cmocka_unit_test(test_unknown_key_names_the_nearest),
        cmocka_unit_test(test_unknown_key_like_no_other),
        cmocka_unit_test(test_part_of_a_key_is_another_key),
        cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_refusal_by_the_caller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
