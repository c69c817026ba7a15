/* The safetensors reader: what a sound file gives, and every way of being damaged. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/safetensors.h"
#include "tensor_file.h"

static const float numbers[6] = {1.5f, -2.0f, 3.25f, 4.0f, 5.0f, 6.0f};
static const double wide[2] = {1e-300, -7.0};

static struct file_bytes sound_file(void)
{
    const struct file_tensor tensors[] = {
        {"zeta", "F32", 2, {2, 3}, numbers, sizeof numbers},
        {"alpha", "F64", 1, {2}, wide, sizeof wide},
        {"scalar", "F32", 0, {0}, numbers + 3, 4},
        {"bytes", "I8", 1, {4}, "\1\2\3\4", 4},
        {"none", "F32", 2, {0, 7}, NULL, 0},
        {"half", "BF16", 3, {1, 2, 1}, "\x80\x3f\x00\x40", 4},
    };
    return tensor_file_make("{\"a\":1}", tensors, 6);
}

static void check_sound(const struct safetensors *st)
{
    static const char *const sorted[] = {"alpha", "bytes", "half", "none", "scalar", "zeta"};
    assert_int_equal(st->n_tensors, 6);
    for (size_t i = 0; i < 6; i++) assert_string_equal(st->tensors[i].name, sorted[i]);
    assert_string_equal(st->config, "{\"a\":1}");
    assert_int_equal((uintptr_t)st->bytes % 64, 0);
    const struct tensor *zeta = safetensors_find(st, "zeta");
    assert_int_equal(zeta->type, TENSOR_F32);
    assert_int_equal(zeta->n_dims, 2);
    assert_int_equal(zeta->shape[0], 2);
    assert_int_equal(zeta->shape[1], 3);
    assert_int_equal(zeta->shape[2], 1);
    assert_int_equal(zeta->n_elements, 6);
    assert_memory_equal(zeta->data, numbers, sizeof numbers);
    assert_memory_equal(safetensors_find(st, "alpha")->data, wide, sizeof wide);
    assert_int_equal(safetensors_find(st, "scalar")->n_elements, 1);
    assert_int_equal(safetensors_find(st, "none")->n_elements, 0);
    assert_int_equal(safetensors_find(st, "half")->n_bytes, 4);
    assert_null(safetensors_find(st, "omega"));
}

static void test_sound_file_from_memory(void **unused)
{
    (void)unused;
    struct file_bytes file = sound_file();
    struct safetensors st;
    struct latent_error err;
    assert_int_equal(safetensors_parse(&st, file.bytes, file.n, &err), 0);
    check_sound(&st);
    safetensors_close(&st);
    free(file.bytes);
}

static void test_file_without_tensors(void **unused)
{
    (void)unused;
    struct file_bytes file = tensor_file_raw("{}", NULL, 0);
    struct safetensors st;
    struct latent_error err;
    assert_int_equal(safetensors_parse(&st, file.bytes, file.n, &err), 0);
    assert_int_equal(st.n_tensors, 0);
    assert_null(st.config);
    assert_null(safetensors_find(&st, "any"));
    safetensors_close(&st);
    free(file.bytes);
}

/* Expected from sha256sum over these 10 bytes. */
static void test_hash_is_of_the_whole_file(void **unused)
{
    (void)unused;
    static const uint8_t expected[32] = {
        0x41, 0x1a, 0x48, 0x52, 0x16, 0xe4, 0x32, 0xec, 0xe6, 0xb9, 0xaf,
        0x94, 0xfa, 0x32, 0x15, 0x4c, 0xf7, 0x9a, 0x2a, 0x56, 0xd4, 0xf8,
        0x12, 0x66, 0xba, 0xa5, 0x00, 0x63, 0xf4, 0x50, 0x92, 0xbd,
    };
    struct file_bytes file = tensor_file_raw("{}", NULL, 0);
    struct safetensors st;
    assert_int_equal(safetensors_parse(&st, file.bytes, file.n, NULL), 0);
    assert_memory_equal(st.sha256, expected, sizeof expected);
    safetensors_close(&st);
    free(file.bytes);
}

/* A header around one sound tensor "w" of 4 bytes, and what must be said of it. */
struct damage {
    const char *header;
    size_t n_data;
    int status;
    const char *words[4];
};

#define W(dtype, shape, offsets) \
    "{\"w\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(first, second)                                                 \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" first "}," \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" second "}}"
#define LONG_NAME(c) c c c c c c c c
#define NAME_256 LONG_NAME("0123456789abcdef0123456789abcdef")

static const struct damage damages[] = {
    {W("\"F32\"", "[1]", "[0,4]"), 4, 0, {NULL}},
    {W("\"F16\"", "[2]", "[0,4]"),
     4,
     LATENT_E_TENSOR,
     {"\"w\"", "F32, F64, BF16 or I8", "\"F16\""}},
    {W("\"f32\"", "[1]", "[0,4]"), 4, LATENT_E_TENSOR, {"\"w\"", "\"f32\""}},
    {W("32", "[1]", "[0,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "dtype", "string"}},
    {W("\"F32\"", "1", "[0,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "shape", "list"}},
    {W("\"F32\"", "[-1]", "[0,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "shape[0]", "whole number"}},
    {W("\"F32\"", "[1.0]", "[0,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "shape[0]"}},
    {W("\"F32\"", "[1,\"1\"]", "[0,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "shape[1]"}},
    {W("\"F32\"", "[1,1,1,1,1,1,1,1]", "[0,4]"), 4, 0, {NULL}},
    {W("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"),
     4,
     LATENT_E_FORMAT,
     {"\"w\"", "at most 8", "found 9"}},
    {W("\"F32\"", "[4294967296,4294967296]", "[0,4]"),
     4,
     LATENT_E_FORMAT,
     {"\"w\"", "fits memory", "[4294967296,4294967296]"}},
    {W("\"F32\"", "[4611686018427387905]", "[0,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "fits memory"}},
    {W("\"F32\"", "[99999999999999999999]", "[0,4]"), 4, LATENT_E_FORMAT, {"JSON", "integer"}},
    {W("\"F32\"", "[2]", "[0,4]"),
     4,
     LATENT_E_FORMAT,
     {"\"w\"", "expected 8 bytes for F32 [2]", "[0,4]"}},
    {W("\"F64\"", "[1]", "[0,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "expected 8 bytes for F64 [1]"}},
    {W("\"F32\"", "[]", "[0,4]"), 4, 0, {NULL}},
    {W("\"F32\"", "[]", "[0,0]"), 0, LATENT_E_FORMAT, {"\"w\"", "expected 4 bytes for F32 []"}},
    {W("\"F32\"", "[0]", "[0,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "expected 0 bytes"}},
    {W("\"F32\"", "[1]", "[4,0]"), 4, LATENT_E_FORMAT, {"\"w\"", "inside the 4 bytes", "[4,0]"}},
    {W("\"F32\"", "[1]", "[1,5]"), 4, LATENT_E_FORMAT, {"\"w\"", "inside the 4 bytes", "[1,5]"}},
    {W("\"F32\"", "[1]", "[-4,0]"), 4, LATENT_E_FORMAT, {"\"w\"", "two whole numbers"}},
    {W("\"F32\"", "[1]", "[0]"), 4, LATENT_E_FORMAT, {"\"w\"", "two whole numbers"}},
    {W("\"F32\"", "[1]", "[0,4,4]"), 4, LATENT_E_FORMAT, {"\"w\"", "two whole numbers"}},
    {W("\"F32\"", "[1]", "[0,4.0]"), 4, LATENT_E_FORMAT, {"\"w\"", "two whole numbers"}},
    {W("\"F32\"", "[1]", "\"0,4\""), 4, LATENT_E_FORMAT, {"\"w\"", "two whole numbers"}},
    {W("\"F32\"", "[1]", "[0,4]"), 5, LATENT_E_FORMAT, {"\"w\"", "at byte 4", "1 bytes more"}},
    {W("\"F32\"", "[1]", "[1,5]"), 5, LATENT_E_FORMAT, {"\"w\"", "found 1", "a gap"}},
    {W("\"F32\"", "[1]", "[0,4],\"x\":1"), 4, LATENT_E_FORMAT, {"\"w\"", "no other key"}},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, LATENT_E_FORMAT, {"\"w\"", "data_offsets"}},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"offsets\":[0,4]}}", 4, LATENT_E_FORMAT, {"\"w\""}},
    {"{\"w\":[0,4]}", 4, LATENT_E_FORMAT, {"\"w\"", "object"}},
    {"{\"w\":null}", 4, LATENT_E_FORMAT, {"\"w\"", "object"}},
    {TWO("[0,8]", "[8,16]"), 16, 0, {NULL}},
    {TWO("[8,16]", "[0,8]"), 16, 0, {NULL}},
    {TWO("[0,8]", "[4,12]"), 12, LATENT_E_FORMAT, {"\"b\"", "byte 8", "\"a\"", "overlap"}},
    {TWO("[0,8]", "[0,8]"), 8, LATENT_E_FORMAT, {"\"a\"", "\"b\"", "found 0", "overlap"}},
    {TWO("[0,8]", "[12,20]"), 20, LATENT_E_FORMAT, {"\"b\"", "byte 8", "found 12", "a gap"}},
    {TWO("[4,12]", "[12,20]"), 20, LATENT_E_FORMAT, {"\"a\"", "found 4", "a gap"}},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4,
     LATENT_E_FORMAT,
     {"duplicate", "w"}},
    {"{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"
     "}",
     4,
     LATENT_E_FORMAT,
     {"duplicate", "dtype"}},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4,
     LATENT_E_FORMAT,
     {"1 to 255 bytes"}},
    {"{\"a\\nb\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4,
     LATENT_E_FORMAT,
     {"\"a?b\"", "control"}},
    {"{\"" NAME_256 "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4,
     LATENT_E_FORMAT,
     {"1 to 255 bytes"}},
    {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4,
     LATENT_E_FORMAT,
     {"JSON"}},
    {"{\"\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4,
     LATENT_E_FORMAT,
     {"JSON", "0xff"}},
    {"{\"__metadata__\":{\"a\":\"b\"}}   ", 0, 0, {NULL}},
    {"{\"__metadata__\":\"a\"}", 0, LATENT_E_FORMAT, {"__metadata__", "object of strings"}},
    {"{\"__metadata__\":{\"latent.config\":{}}}",
     0,
     LATENT_E_FORMAT,
     {"__metadata__", "\"latent.config\"", "string"}},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, LATENT_E_FORMAT, {"duplicate"}},
    {"{} x", 0, LATENT_E_FORMAT, {"JSON", "end of file"}},
    {"{\"w\":", 0, LATENT_E_FORMAT, {"JSON"}},
    {" {}", 0, LATENT_E_FORMAT, {"'{'", "0x20"}},
    {"[]", 0, LATENT_E_FORMAT, {"'{'", "0x5b"}},
    {"{}", 3, LATENT_E_FORMAT, {"3 bytes more"}},
};

static void test_every_damage_is_named(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const struct damage *d = &damages[i];
        struct file_bytes file = tensor_file_raw(d->header, "0123456789abcdefghijklmn", d->n_data);
        struct safetensors st;
        struct latent_error err = {0};
        int status = safetensors_parse(&st, file.bytes, file.n, &err);
        if (status != d->status)
            fail_msg("%s: expected status %d, found %d: %s", d->header, d->status, status,
                     err.text);
        for (size_t k = 0; k < 4 && d->words[k]; k++)
            if (!strstr(err.text, d->words[k]))
                fail_msg("%s: expected \"%s\" in: %s", d->header, d->words[k], err.text);
        if (status) assert_null(st.bytes);
        safetensors_close(&st);
        free(file.bytes);
    }
}

static int parse_status(const void *bytes, size_t n, const char *word)
{
    struct safetensors st;
    struct latent_error err = {0};
    int status = safetensors_parse(&st, bytes, n, &err);
    if (word && !strstr(err.text, word)) fail_msg("expected \"%s\" in: %s", word, err.text);
    safetensors_close(&st);
    return status;
}

static void test_header_length_is_bounded(void **unused)
{
    (void)unused;
    unsigned char small[10] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    assert_int_equal(parse_status(small, 10, NULL), 0);
    for (size_t n = 0; n < 10; n++)
        assert_int_equal(parse_status(small, n, "at least 10"), LATENT_E_FORMAT);
    for (unsigned byte = 0; byte < 8; byte++) {
        unsigned char wrong[10];
        memcpy(wrong, small, sizeof wrong);
        wrong[byte] = 255;
        assert_int_equal(parse_status(wrong, 10, "length of 2 to 2 bytes"), LATENT_E_FORMAT);
    }
    small[0] = 1;
    assert_int_equal(parse_status(small, 10, "found 1"), LATENT_E_FORMAT);

    size_t n = 8 + (size_t)SAFETENSORS_MAX_HEADER + 1;
    unsigned char *large = calloc(1, n);
    assert_non_null(large);
    for (int i = 0; i < 4; i++) large[i] = (unsigned char)((SAFETENSORS_MAX_HEADER + 1) >> (8 * i));
    large[8] = '{';
    assert_int_equal(parse_status(large, n, "found 8388609"), LATENT_E_FORMAT);
    free(large);
}

static void test_deep_nesting_is_refused(void **unused)
{
    (void)unused;
    static char header[100001] = "{\"a\":";
    memset(header + strlen(header), '[', sizeof header - 1 - strlen(header));
    struct file_bytes file = tensor_file_raw(header, NULL, 0);
    assert_int_equal(parse_status(file.bytes, file.n, "depth"), LATENT_E_FORMAT);
    free(file.bytes);
}

static void test_cut_at_every_length(void **unused)
{
    (void)unused;
    struct file_bytes file = sound_file();
    for (size_t n = 0; n < file.n; n++) {
        /* A copy of exactly this size lets the sanitizer see a read past the end. */
        unsigned char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, file.bytes, n);
        if (parse_status(cut, n, NULL) != LATENT_E_FORMAT) fail_msg("accepted when cut at %zu", n);
        free(cut);
    }
    free(file.bytes);
}

static void test_every_bit_of_the_header_flipped(void **unused)
{
    (void)unused;
    struct file_bytes file = sound_file();
    size_t n_header = 8 + tensor_file_header_length(file);
    for (size_t i = 0; i < n_header * 8; i++) {
        file.bytes[i / 8] ^= (unsigned char)(1u << i % 8);
        struct safetensors st;
        struct latent_error err = {0};
        int status = safetensors_parse(&st, file.bytes, file.n, &err);
        if (status) {
            assert_true(status == LATENT_E_FORMAT || status == LATENT_E_TENSOR);
            assert_true(err.text[0] != '\0');
        } else {
            /* A letter of a name or of the metadata changed: the layout may not. */
            size_t total = 0;
            for (size_t k = 0; k < st.n_tensors; k++) total += st.tensors[k].n_bytes;
            assert_int_equal(total, file.n - n_header);
        }
        safetensors_close(&st);
        file.bytes[i / 8] ^= (unsigned char)(1u << i % 8);
    }
    free(file.bytes);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void check_open_refused(const char *path, int expected, const char *word)
{
    struct safetensors st;
    struct latent_error err = {0};
    assert_int_equal(safetensors_open(&st, path, &err), expected);
    assert_text_has(err.text, WORDS(word));
    assert_null(st.bytes);
}

static void test_files_on_disk(void **unused)
{
    (void)unused;
    char folder[] = "/tmp/test_safetensors_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    check_open_refused(path, LATENT_E_IO, "No such file");
    check_open_refused(folder, LATENT_E_IO, "regular file");

    struct file_bytes file = sound_file();
    write_file(path, file.bytes, file.n);
    struct safetensors st;
    struct latent_error err;
    assert_int_equal(safetensors_open(&st, path, &err), 0);
    check_sound(&st);
    /* What was read is private: the file may be cut afterwards. */
    assert_int_equal(truncate(path, 3), 0);
    check_sound(&st);
    safetensors_close(&st);
    check_open_refused(path, LATENT_E_FORMAT, "found 3");
    assert_int_equal(truncate(path, 0), 0);
    check_open_refused(path, LATENT_E_FORMAT, "found 0");
    assert_int_equal(truncate(path, (off_t)(SAFETENSORS_MAX_FILE + 1)), 0);
    check_open_refused(path, LATENT_E_NOMEM, "at most 4294967296");
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkfifo(path, 0600), 0);
    check_open_refused(path, LATENT_E_IO, "regular file");
    unlink(path);
    rmdir(folder);
    free(file.bytes);
}

/* Files whose size is not what fstat says: those of /proc claim 0 bytes and hold more. */
static void test_file_larger_than_it_said(void **unused)
{
    (void)unused;
    check_open_refused("/proc/self/status", LATENT_E_IO, "changed while being read");
}

/* Those of /sys claim a page and hold less, as a file does that is cut meanwhile. */
static void test_file_smaller_than_it_said(void **unused)
{
    (void)unused;
    const char *path = "/sys/kernel/mm/transparent_hugepage/enabled";
    if (access(path, R_OK) != 0) skip();
    check_open_refused(path, LATENT_E_IO, "found fewer");
}

/* Bytes that this process has read so far. */
static unsigned long long bytes_read_so_far(void)
{
    const char *word = "rchar: ";
    char text[64];
    FILE *f = fopen("/proc/self/io", "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    assert_int_equal(fclose(f), 0);
    assert_memory_equal(text, word, strlen(word));
    return strtoull(text + strlen(word), NULL, 10);
}

/* A file of gigabytes that is no model, or holds more than its header says, is refused by its
 * beginning. */
static void test_large_files_are_not_read(void **unused)
{
    (void)unused;
    static const unsigned char none[16] = {0}, more[10] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    char path[] = "/tmp/test_safetensors_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (int i = 0; i < 2; i++) {
        write_file(path, i ? more : none, i ? sizeof more : sizeof none);
        assert_int_equal(truncate(path, (1ll << 32) - 1), 0);
        unsigned long long before = bytes_read_so_far();
        check_open_refused(path, LATENT_E_FORMAT, i ? "bytes more" : "header");
        assert_true(bytes_read_so_far() - before < 4 << 20);
    }
    close(fd);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_file_from_memory),
        cmocka_unit_test(test_file_without_tensors),
        cmocka_unit_test(test_hash_is_of_the_whole_file),
        cmocka_unit_test(test_every_damage_is_named),
        cmocka_unit_test(test_header_length_is_bounded),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_cut_at_every_length),
        cmocka_unit_test(test_every_bit_of_the_header_flipped),
        cmocka_unit_test(test_files_on_disk),
        cmocka_unit_test(test_file_larger_than_it_said),
        cmocka_unit_test(test_file_smaller_than_it_said),
        cmocka_unit_test(test_large_files_are_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
