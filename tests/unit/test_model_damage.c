/* Damaged model files: tensors, known answers, cuts, every bit of every byte. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "latent.h"
#include "model_maker.h"

static struct model_parts (*const makers[])(void) = {maker_kalman, maker_gru, maker_ndt,
                                                     maker_stage};
#define N_MAKERS (sizeof makers / sizeof makers[0])

static void test_sound_files_are_accepted(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MAKERS; i++) {
        struct model_parts parts = makers[i]();
        check_accepted(maker_file(&parts));
    }
}

/* ---- tensors ---- */

/* Without readout.weight the readout is the state, and without rate.weight there are no
 * rates: then it is the bias that is one too many. */
static const char *name_blamed(const char *missing)
{
    if (strcmp(missing, "readout.weight") == 0) return "readout.bias";
    if (strcmp(missing, "rate.weight") == 0) return "rate.bias";
    return missing;
}

static void test_each_tensor_missing(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MAKERS; i++) {
        struct model_parts whole = makers[i]();
        for (size_t k = 0; k < whole.n_tensors; k++) {
            struct model_parts parts = makers[i]();
            const char *name = parts.tensors[k].name;
            maker_remove(&parts, name);
            check_parts_refused(&parts, LATENT_E_TENSOR, WORDS(name_blamed(name), "expected"));
        }
    }
}

static void test_each_tensor_of_another_type(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MAKERS; i++) {
        struct model_parts whole = makers[i]();
        for (size_t k = 0; k < whole.n_tensors; k++) {
            struct model_parts parts = makers[i]();
            struct file_tensor *t = &parts.tensors[k];
            size_t n = t->n_bytes / (strcmp(t->type, "F64") == 0 ? 8 : 4);
            t->type = "I8";
            t->n_bytes = n;
            check_parts_refused(&parts, LATENT_E_TENSOR,
                                WORDS(t->name, "expected type", "found I8"));
        }
    }
}

/* Each tensor with its sizes in one dimension: the same bytes, another shape. */
static void test_each_tensor_of_another_shape(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MAKERS; i++) {
        struct model_parts whole = makers[i]();
        for (size_t k = 0; k < whole.n_tensors; k++) {
            struct model_parts parts = makers[i]();
            struct file_tensor *t = &parts.tensors[k];
            char found[TENSOR_SHAPE_TEXT];
            t->n_dims = t->n_dims < 2 ? 2 : t->n_dims + 1;
            for (size_t d = t->n_dims - 1; d < 4; d++) t->shape[d] = 1;
            tensor_shape_text(found, t->n_dims, t->shape);
            check_parts_refused(&parts, LATENT_E_TENSOR,
                                WORDS(t->name, "expected shape [", "found", found));
        }
    }
}

static void test_superfluous_tensors(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_kalman();
    maker_add(&parts, (struct file_tensor){"M3", "F32", 2, {1, 3}, "123456789abc", 12});
    maker_add(&parts, (struct file_tensor){"m0.", "F32", 1, {1}, "1234", 4});
    check_parts_refused(&parts, LATENT_E_TENSOR, WORDS("\"M3\"", "F32 [1,3]", "2 in all"));
}

static void test_no_number_among_the_weights(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_kalman();
    for (size_t i = 0; i < 6; i++) {
        struct file_bytes file = maker_file(&parts);
        double infinite = i % 2 ? (double)INFINITY : (double)NAN;
        memcpy(maker_data(file, "M2", NULL) + i * 8, &infinite, 8);
        char where[32];
        snprintf(where, sizeof where, "[%zu,%zu]", i / 3, i % 3);
        check_refused(file, LATENT_E_TENSOR,
                      WORDS("\"M2\"", "finite", i % 2 ? "found inf" : "found nan", where));
    }
}

/* ---- known answers ---- */

static const char *const answers[] = {"selftest.causal.latents", "selftest.causal.readout"};

static struct file_bytes kalman_with(const char *tensor, size_t element, float value)
{
    struct model_parts parts = maker_kalman();
    struct file_bytes file = maker_file(&parts);
    memcpy(maker_data(file, tensor, NULL) + element * 4, &value, 4);
    return file;
}

static float kalman_element(const char *tensor, size_t element)
{
    struct model_parts parts = maker_kalman();
    return ((const float *)maker_find(&parts, tensor)->data)[element];
}

/* The size that the tolerance follows: a number's own, in a readout the largest of its
 * column. */
static float kalman_size(const char *tensor, size_t element)
{
    float size = fmaxf(1.0f, fabsf(kalman_element(tensor, element)));
    for (size_t t = 0; t < 4 && strcmp(tensor, "selftest.causal.readout") == 0; t++)
        size = fmaxf(size, fabsf(kalman_element(tensor, t * 2 + element % 2)));
    return size;
}

static void test_each_expected_number_wrong(void **unused)
{
    (void)unused;
    for (size_t a = 0; a < 2; a++)
        for (size_t i = 0; i < 8; i++) {
            float right = kalman_element(answers[a], i), size = kalman_size(answers[a], i);
            char where[64], expected[64];
            float wrong = right + 2e-4f * size;
            snprintf(where, sizeof where, "bin %zu, element %zu", i / 2, i % 2);
            snprintf(expected, sizeof expected, "expected %.9g, found %.9g", (double)wrong,
                     (double)right);
            check_refused(kalman_with(answers[a], i, wrong), LATENT_E_SELFTEST,
                          WORDS("mode \"causal\"", answers[a], where, expected));
            check_accepted(kalman_with(answers[a], i, right + 0.5e-4f * size));
            check_refused(kalman_with(answers[a], i, -NAN), LATENT_E_TENSOR,
                          WORDS(answers[a], "finite", "nan"));
            check_refused(kalman_with(answers[a], i, -INFINITY), LATENT_E_TENSOR,
                          WORDS(answers[a], "finite", "-inf"));
        }
}

/* Every weight matters to the answer, so no change of one goes unseen. */
static void test_each_weight_wrong(void **unused)
{
    (void)unused;
    static const char *const weights[] = {"M1", "M2", "m0", "readout.weight", "readout.bias"};
    struct model_parts parts = maker_kalman();
    for (size_t w = 0; w < 5; w++) {
        size_t n = maker_find(&parts, weights[w])->n_bytes / 8;
        for (size_t i = 0; i < n; i++) {
            struct file_bytes file = maker_file(&parts);
            unsigned char *at = maker_data(file, weights[w], NULL) + i * 8;
            double weight;
            memcpy(&weight, at, 8);
            weight += 0.01;
            memcpy(at, &weight, 8);
            check_refused(file, LATENT_E_SELFTEST, WORDS("known answer", "expected", "found"));
        }
    }
}

static void test_input_must_be_counts(void **unused)
{
    (void)unused;
    static const float wrong[] = {0.5f, -1.0f, 65536.0f, (float)INFINITY, (float)NAN};
    for (size_t i = 0; i < 5; i++)
        check_refused(kalman_with("selftest.input", 7, wrong[i]), LATENT_E_TENSOR,
                      WORDS("\"selftest.input\"", "whole counts", "[2,1]"));
}

static void test_rows_of_known_answers(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_kalman();
    maker_find(&parts, answers[0])->shape[0] = 3;
    maker_find(&parts, answers[0])->n_bytes = 24;
    check_parts_refused(&parts, LATENT_E_TENSOR,
                        WORDS(answers[1], "expected 3 bins", answers[0], "found 4"));
    maker_find(&parts, answers[1])->shape[0] = 3;
    maker_find(&parts, answers[1])->n_bytes = 24;
    check_accepted(maker_file(&parts));
    maker_find(&parts, "selftest.input")->shape[0] = 2;
    maker_find(&parts, "selftest.input")->n_bytes = 24;
    check_parts_refused(&parts, LATENT_E_TENSOR,
                        WORDS("selftest.causal", "at most 2 bins", "found 3"));
    maker_find(&parts, answers[0])->shape[0] = 0;
    maker_find(&parts, answers[0])->n_bytes = 0;
    check_parts_refused(&parts, LATENT_E_TENSOR, WORDS(answers[0], "1 to 10000 bins", "[0,2]"));
}

/* Learnt positions end with the trial, in the modes that count from its start. */
static void test_answers_longer_than_the_trial(void **unused)
{
    (void)unused;
    static const char *const aligned[] = {"A", "trial"};
    for (size_t i = 0; i < 2; i++) {
        struct model_parts parts = maker_ndt();
        char latents[64], lograte[64];
        snprintf(latents, sizeof latents, "selftest.%s.latents", aligned[i]);
        snprintf(lograte, sizeof lograte, "selftest.%s.lograte", aligned[i]);
        maker_find(&parts, latents)->shape[0] = maker_find(&parts, lograte)->shape[0] = 4;
        maker_find(&parts, latents)->n_bytes = maker_find(&parts, lograte)->n_bytes = 32;
        check_parts_refused(&parts, LATENT_E_TENSOR,
                            WORDS(aligned[i], "at most 3 bins", "found 4"));
    }
}

static void test_answers_of_nothing_in_the_file(void **unused)
{
    (void)unused;
    static const char *const unknown[] = {"selftest.causal.lograte", "selftest.B.latents",
                                          "selftest.", "selftest.input2"};
    for (size_t i = 0; i < 4; i++) {
        struct model_parts parts = maker_kalman();
        maker_add(&parts, (struct file_tensor){unknown[i], "F32", 1, {1}, "1234", 4});
        check_parts_refused(&parts, LATENT_E_TENSOR, WORDS(unknown[i], "expected", "found"));
    }
}

static void test_each_mode_is_tested(void **unused)
{
    (void)unused;
    static const char *const tensors[] = {
        "selftest.A.latents", "selftest.A.lograte",     "selftest.C.latents",
        "selftest.C.lograte", "selftest.trial.latents", "selftest.trial.lograte",
    };
    for (size_t i = 0; i < 6; i++) {
        struct model_parts parts = maker_ndt();
        struct file_bytes file = maker_file(&parts);
        float wrong = 0.2f;
        memcpy(maker_data(file, tensors[i], NULL) + 5 * 4, &wrong, 4);
        check_refused(file, LATENT_E_SELFTEST,
                      WORDS(tensors[i], "bin 2, element 1", "expected 0.2"));
    }
}

/* The file holds logarithms; rates of a linear head reach zero, whose logarithm is
 * -inf. */
static void test_rates(void **unused)
{
    (void)unused;
    struct model_parts parts = maker_gru();
    struct file_bytes file = maker_file(&parts);
    float wrong = -3.0f - 0x1p-11f;
    memcpy(maker_data(file, "selftest.causal.lograte", NULL) + 5 * 4, &wrong, 4);
    check_refused(file, LATENT_E_SELFTEST,
                  WORDS("selftest.causal.lograte", "bin 1, element 2", "expected -3.00048828"));

    float linear[6] = {-INFINITY, -0.6931472f, -INFINITY, -INFINITY, -0.6931472f, -INFINITY};
    char *config = text_replace(parts.config, "\"lograte\":true", "\"lograte\":false");
    maker_find(&parts, "selftest.causal.lograte")->data = linear;
    check_parts_refused(&parts, LATENT_E_TENSOR,
                        WORDS("selftest.causal.lograte", "finite", "-inf"));
    parts.config = config;
    check_accepted(maker_file(&parts));
    linear[4] = -0.7f;
    check_parts_refused(&parts, LATENT_E_SELFTEST,
                        WORDS("selftest.causal.lograte", "bin 1, element 1", "found 0.5"));
    free(config);
}

/* A future that nobody looks at, too long a one, and neurons the width has no room for. */
static void test_future_and_held_out_neurons(void **unused)
{
    (void)unused;
    static const struct {
        const char *to, *words[2];
    } changes[] = {
        {"\"future_zeros\":1,\"layers\":1", {"future_zeros", "context_forward"}},
        {"\"future_zeros\":3,\"layers\":1", {"\"future_zeros\"", "0 to 2"}},
        {"\"future_zeros\":-1,\"layers\":1", {"\"future_zeros\"", "0 to 2"}},
        {"\"held_out\":1,\"layers\":1", {"width", "held_out"}},
        {"\"held_out\":\"one\",\"layers\":1", {"\"held_out\"", "expected"}},
    };
    struct model_parts parts = maker_ndt();
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        check_config_refused(
            &parts, "\"layers\":1", changes[i].to, LATENT_E_CONFIG,
            WORDS("latent.config.hyper", changes[i].words[0], changes[i].words[1]));
}

/* ---- bytes ---- */

/* Any status that a damaged file may give; the text must say something. */
static int open_damaged(const unsigned char *bytes, size_t n)
{
    latent_model *m;
    struct latent_error err = {0};
    int status = model_open_bytes(&m, bytes, n, &err);
    if (status) {
        assert_null(m);
        assert_int_equal(err.status, status);
        assert_true(status <= LATENT_E_FORMAT && status >= LATENT_E_UNSUPPORTED);
        assert_true(strlen(err.text) > 20);
    }
    latent_model_close(m);
    return status;
}

static void test_cut_at_every_length(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MAKERS; i++) {
        struct model_parts parts = makers[i]();
        struct file_bytes file = maker_file(&parts);
        for (size_t n = 0; n < file.n; n++)
            if (open_damaged(file.bytes, n) != LATENT_E_FORMAT) fail_msg("cut at %zu: accepted", n);
        free(file.bytes);
    }
}

/* What a file says only of itself: any other text of the same kind is as true. */
static const char *const free_texts[] = {
    "CC0-1.0",
    "a unit test",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "\\\"vx\\\"",
    "mm/s",
    "\\\"grip\\\"",
    "\\\"N\\\"",
    ":20000",
    ":10000",
    ":5000",
    "\\\"neutral\\\":0,\\\"min\\\":-500,\\\"max\\\":500",
    "0.5,",
    "25.5",
    "[\\\"a\\\",\\\"b\\\",\\\"c\\\"]",
    "[1,1.5,0.75]",
    "[1,2,0]",
    "_silence\\\":3",
    "_repeat\\\":5",
    "\\\"max_count\\\":9",
    ".853900817779268",
};

/* Is byte i of the header part of a free text? */
static bool is_free(const char *header, size_t i)
{
    for (size_t k = 0; k < sizeof free_texts / sizeof free_texts[0]; k++) {
        const char *at = strstr(header, free_texts[k]);
        if (at && i >= (size_t)(at - header) && i < (size_t)(at - header) + strlen(free_texts[k]))
            return true;
    }
    return false;
}

/* Hyper-parameters of the ndt that change nothing while all weights are zero. */
static bool is_idle(const char *header, size_t i)
{
    const char *hyper = strstr(header, "hyper"), *end = strstr(header, "outputs");
    return strstr(header, "ndt") && i >= (size_t)(hyper - header) && i < (size_t)(end - header);
}

static void test_every_bit_of_the_header_flipped(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MAKERS; i++) {
        struct model_parts parts = makers[i]();
        struct file_bytes file = maker_file(&parts);
        size_t n_header = tensor_file_header_length(file), n_accepted = 0;
        char *header = strndup((const char *)file.bytes + 8, n_header);
        assert_non_null(header);
        for (size_t bit = 0; bit < (8 + n_header) * 8; bit++) {
            file.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            int status = open_damaged(file.bytes, file.n);
            file.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            if (status) continue;
            n_accepted++;
            size_t at = bit / 8 - 8;
            if (bit < 64 || !(is_free(header, at) || is_idle(header, at)))
                fail_msg("bit %zu of byte %zu accepted: %.40s", bit % 8, at, header + at);
        }
        assert_true(n_accepted > 0);
        free(header);
        free(file.bytes);
    }
}

static void test_every_bit_of_the_data_flipped(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < N_MAKERS; i++) {
        struct model_parts parts = makers[i]();
        struct file_bytes file = maker_file(&parts);
        for (size_t bit = (8 + tensor_file_header_length(file)) * 8; bit < file.n * 8; bit++) {
            file.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            int status = open_damaged(file.bytes, file.n);
            if (status) assert_true(status == LATENT_E_TENSOR || status == LATENT_E_SELFTEST);
            file.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        free(file.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_files_are_accepted),
        cmocka_unit_test(test_each_tensor_missing),
        cmocka_unit_test(test_each_tensor_of_another_type),
        cmocka_unit_test(test_each_tensor_of_another_shape),
        cmocka_unit_test(test_superfluous_tensors),
        cmocka_unit_test(test_no_number_among_the_weights),
        cmocka_unit_test(test_each_expected_number_wrong),
        cmocka_unit_test(test_each_weight_wrong),
        cmocka_unit_test(test_input_must_be_counts),
        cmocka_unit_test(test_rows_of_known_answers),
        cmocka_unit_test(test_answers_longer_than_the_trial),
        cmocka_unit_test(test_answers_of_nothing_in_the_file),
        cmocka_unit_test(test_each_mode_is_tested),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_future_and_held_out_neurons),
        cmocka_unit_test(test_cut_at_every_length),
        cmocka_unit_test(test_every_bit_of_the_header_flipped),
        cmocka_unit_test(test_every_bit_of_the_data_flipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
