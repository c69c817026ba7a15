/* Weights by name and exact shape: what is taken, what is refused, what is left over. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/weights.h"
#include "tensor_file.h"

static const float matrix[6] = {1, 2, 3, 4, 5, 6};
static const double vector[3] = {0.1, 1e300, -3.0};
static float broken[6] = {1, 2, 3, 4, 5, 6};
static const double not_a_number[2] = {1.0, (double)NAN};

#define N_TENSORS 7
static const struct file_tensor tensors[N_TENSORS] = {
    {"odd", "I8", 1, {1}, "\1", 1}, /* moves all that follow off their alignment */
    {"layer.0.weight", "F32", 2, {2, 3}, matrix, sizeof matrix},
    {"vector", "F64", 1, {3}, vector, sizeof vector},
    {"scale", "F32", 0, {0}, matrix + 4, 4},
    {"broken", "F32", 3, {1, 2, 3}, broken, sizeof broken},
    {"wrong", "F64", 1, {2}, not_a_number, sizeof not_a_number},
    {"selftest.input", "F32", 2, {2, 3}, matrix, sizeof matrix},
};

struct fixture {
    struct safetensors file;
    struct arena arena;
    bool taken[N_TENSORS];
    struct latent_error err;
    struct weights w;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    broken[4] = -INFINITY;
    struct file_bytes bytes = tensor_file_make(NULL, tensors, N_TENSORS);
    assert_int_equal(safetensors_parse(&f->file, bytes.bytes, bytes.n, &f->err), 0);
    assert_int_equal(arena_new(&f->arena, 4096), 0);
    f->w =
        (struct weights){.file = &f->file, .arena = &f->arena, .taken = f->taken, .err = &f->err};
    free(bytes.bytes);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    safetensors_close(&f->file);
    arena_free(&f->arena);
    free(f);
    return 0;
}

static void test_taken_are_aligned_copies(void **state)
{
    struct fixture *f = *state;
    const float *weight = weights_floats(&f->w, SHAPE(2, 3), "layer.%d.weight", 0);
    const double *doubles = weights_doubles(&f->w, SHAPE(3), "vector");
    const float *scale = weights_floats(&f->w, 0, NULL, "scale");
    assert_int_equal(f->w.status, 0);
    assert_int_equal((uintptr_t)weight % 64, 0);
    assert_int_equal((uintptr_t)doubles % 64, 0);
    assert_memory_equal(weight, matrix, sizeof matrix);
    assert_memory_equal(doubles, vector, sizeof vector);
    assert_true(*scale == 5.0f);
}

static void test_doubles_from_f32(void **state)
{
    struct fixture *f = *state;
    const double *doubles = weights_doubles(&f->w, SHAPE(2, 3), "layer.0.weight");
    assert_int_equal(f->w.status, 0);
    for (size_t i = 0; i < 6; i++) assert_true(doubles[i] == (double)matrix[i]);
}

static void test_counting_run_checks_but_gives_nothing(void **state)
{
    struct fixture *f = *state;
    struct arena counting = {0};
    f->w.arena = &counting;
    assert_null(weights_floats(&f->w, SHAPE(2, 3), "layer.0.weight"));
    assert_null(weights_doubles(&f->w, SHAPE(3), "vector"));
    assert_int_equal(f->w.status, 0);
    assert_int_equal(counting.used, 128);
    assert_null(weights_floats(&f->w, SHAPE(3), "scale"));
    assert_int_equal(f->w.status, LATENT_E_TENSOR);
}

static void check_refused(struct fixture *f, const float *taken, const char *const *words)
{
    assert_null(taken);
    assert_int_equal(f->w.status, LATENT_E_TENSOR);
    assert_int_equal(f->err.status, LATENT_E_TENSOR);
    assert_text_has(f->err.text, words);
}

static void test_missing(void **state)
{
    struct fixture *f = *state;
    check_refused(f, weights_floats(&f->w, SHAPE(606, 202), "layer.%d.weight", 7),
                  WORDS("\"layer.7.weight\"", "missing", "F32 [606,202]"));
}

static void test_wrong_shape(void **state)
{
    struct fixture *f = *state;
    check_refused(f, weights_floats(&f->w, SHAPE(3, 2), "layer.0.weight"),
                  WORDS("\"layer.0.weight\"", "expected shape [3,2]", "found [2,3]"));
}

static void test_wrong_number_of_dimensions(void **state)
{
    struct fixture *f = *state;
    check_refused(f, weights_floats(&f->w, SHAPE(6), "layer.0.weight"),
                  WORDS("\"layer.0.weight\"", "expected shape [6]", "found [2,3]"));
}

static void test_scalar_expected(void **state)
{
    struct fixture *f = *state;
    check_refused(f, weights_floats(&f->w, 0, NULL, "layer.0.weight"),
                  WORDS("\"layer.0.weight\"", "expected shape []", "found [2,3]"));
}

static void test_wrong_type(void **state)
{
    struct fixture *f = *state;
    check_refused(f, weights_floats(&f->w, SHAPE(3), "vector"),
                  WORDS("\"vector\"", "expected type F32", "found F64"));
}

static void test_wrong_type_for_doubles(void **state)
{
    struct fixture *f = *state;
    assert_null(weights_doubles(&f->w, SHAPE(1), "odd"));
    check_refused(f, NULL, WORDS("\"odd\"", "expected type F64 or F32", "found I8"));
}

static void test_infinite_weight(void **state)
{
    struct fixture *f = *state;
    check_refused(f, weights_floats(&f->w, SHAPE(1, 2, 3), "broken"),
                  WORDS("\"broken\"", "finite", "-inf", "[0,1,1]"));
}

static void test_weight_that_is_no_number(void **state)
{
    struct fixture *f = *state;
    assert_null(weights_doubles(&f->w, SHAPE(2), "wrong"));
    check_refused(f, NULL, WORDS("\"wrong\"", "finite", "nan", "[1]"));
}

static void test_first_error_wins(void **state)
{
    struct fixture *f = *state;
    assert_null(weights_floats(&f->w, SHAPE(1), "first"));
    assert_null(weights_floats(&f->w, SHAPE(1), "second"));
    assert_text_has(f->err.text, WORDS("\"first\""));
    check_refused(f, weights_floats(&f->w, SHAPE(2, 3), "layer.0.weight"), WORDS("\"first\""));
    assert_int_equal(weights_finish(&f->w), LATENT_E_TENSOR);
    assert_text_has(f->err.text, WORDS("\"first\""));
}

static void test_left_over_tensors_are_counted(void **state)
{
    struct fixture *f = *state;
    weights_doubles(&f->w, SHAPE(3), "vector");
    weights_floats(&f->w, SHAPE(2, 3), "layer.0.weight");
    assert_int_equal(f->w.status, 0);
    assert_int_equal(weights_finish(&f->w), LATENT_E_TENSOR);
    assert_text_has(f->err.text, WORDS("\"broken\"", "F32 [1,2,3]", "4 in all"));
}

static void test_nothing_left_over(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < f->file.n_tensors; i++)
        f->taken[i] = strcmp(f->file.tensors[i].name, "selftest.input") != 0;
    assert_int_equal(weights_finish(&f->w), 0);
}

static void test_peek_takes_nothing(void **state)
{
    struct fixture *f = *state;
    assert_true(weights_has(&f->w, "vector"));
    assert_false(weights_has(&f->w, "vecto"));
    assert_int_equal(weights_peek(&f->w, "vector")->shape[0], 3);
    assert_null(weights_peek(&f->w, "nobody"));
    for (size_t i = 0; i < N_TENSORS; i++) assert_false(f->taken[i]);
    assert_int_equal(f->w.status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_taken_are_aligned_copies),
        TEST(test_doubles_from_f32),
        TEST(test_counting_run_checks_but_gives_nothing),
        TEST(test_missing),
        TEST(test_wrong_shape),
        TEST(test_wrong_number_of_dimensions),
        TEST(test_scalar_expected),
        TEST(test_wrong_type),
        TEST(test_wrong_type_for_doubles),
        TEST(test_infinite_weight),
        TEST(test_weight_that_is_no_number),
        TEST(test_first_error_wins),
        TEST(test_left_over_tensors_are_counted),
        TEST(test_nothing_left_over),
        TEST(test_peek_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
