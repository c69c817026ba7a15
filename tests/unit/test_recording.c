/* Recordings: both forms read back exactly, and every way to be wrong has its text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/stop.h"
#include "data/recording.h"

static char folder[] = "/tmp/latent-test-reader-XXXXXX";
static char file_path[256];

/* "FILE:/name" of the test file; four may be in use at a time. */
static const char *in_file(const char *name)
{
    static char texts[4][300];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(texts[turn], sizeof texts[turn], "%s:/%s", file_path, name);
    return texts[turn];
}

/* ---- making files ------------------------------------------------------------------- */

static hid_t file_new(void)
{
    hid_t file = H5Fcreate(file_path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static void dataset_put(hid_t file, const char *name, int rank, const hsize_t *shape, hid_t type,
                        const void *data)
{
    hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0);
    if (data) H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(dataset);
    H5Sclose(space);
}

static void vector_put(hid_t file, const char *name, size_t n, const double *values)
{
    hsize_t shape = n;
    dataset_put(file, name, 1, &shape, H5T_NATIVE_DOUBLE, values);
}

static void number_put(hid_t file, const char *object, const char *name, double value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate_by_name(file, object, name, H5T_NATIVE_DOUBLE, space, H5P_DEFAULT,
                                        H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_DOUBLE, &value);
    H5Aclose(attribute);
    H5Sclose(space);
}

static void text_put(hid_t file, const char *object, const char *name, const char *text)
{
    hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    hid_t attribute =
        H5Acreate_by_name(file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, type, &text);
    H5Aclose(attribute);
    H5Tclose(type);
    H5Sclose(space);
}

/* counts 0 1 2 ... of some shape, and a bin width of 10 ms on the file. */
static void counts_file(int rank, const hsize_t *shape, hid_t type, const void *data)
{
    hid_t file = file_new();
    dataset_put(file, "counts", rank, shape, type, data);
    number_put(file, "/", "bin_width_ms", 10.0);
    H5Fclose(file);
}

/* ---- reading ------------------------------------------------------------------------ */

static struct reader *open_ok(const struct reader_options *options)
{
    struct latent_error err = {0};
    struct reader *reader;
    if (reader_open(&reader, options, &err)) fail_msg("%s", err.text);
    return reader;
}

static void check_refused(const struct reader_options *options, int status,
                          const char *part_of_text)
{
    struct latent_error err = {0};
    struct reader *reader = (struct reader *)&err;
    assert_int_equal(reader_open(&reader, options, &err), status);
    assert_null(reader);
    assert_int_equal(err.status, status);
    if (!strstr(err.text, part_of_text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part_of_text);
}

static void check_refused_in(const char *name, int status, const char *part_of_text)
{
    struct reader_options options = {.in = in_file(name)};
    check_refused(&options, status, part_of_text);
}

static void check_shape(const struct reader *reader, int has_trials, size_t n_trials, size_t n_bins,
                        size_t n_channels, uint32_t bin_width_us)
{
    const struct reader_shape *s = reader_shape(reader);
    assert_int_equal(s->has_trials, has_trials);
    assert_int_equal(s->n_trials, n_trials);
    assert_int_equal(s->n_bins, n_bins);
    assert_int_equal(s->n_channels, n_channels);
    assert_int_equal(s->bin_width_us, bin_width_us);
}

static void check_rows(struct reader *reader, size_t trial, size_t first, size_t n,
                       const float *expected)
{
    struct latent_error err = {0};
    float counts[64];
    size_t n_values = n * reader_shape(reader)->n_channels;
    assert_true(n_values <= 64);
    assert_int_equal(reader_rows(reader, trial, first, n, counts, &err), 0);
    for (size_t i = 0; i < n_values; i++) assert_true(counts[i] == expected[i]);
}

static void test_two_dimensions(void **state)
{
    const uint8_t data[4][3] = {{0, 1, 2}, {3, 4, 5}, {6, 7, 255}, {9, 10, 11}};
    const float expected[] = {3, 4, 5, 6, 7, 255};
    (void)state;
    counts_file(2, (hsize_t[]){4, 3}, H5T_NATIVE_UINT8, data);
    struct reader_options options = {.in = in_file("counts")};
    struct reader *reader = open_ok(&options);
    check_shape(reader, 0, 1, 4, 3, 10000);
    check_rows(reader, 0, 1, 2, expected);
    reader_close(reader);
}

static void test_three_dimensions(void **state)
{
    const int32_t data[2][3][2] = {{{1, 2}, {3, 4}, {5, 6}}, {{7, 8}, {9, 100000}, {11, 12}}};
    const float expected[] = {9, 100000, 11, 12};
    (void)state;
    counts_file(3, (hsize_t[]){2, 3, 2}, H5T_NATIVE_INT32, data);
    struct reader_options options = {.in = in_file("counts")};
    struct reader *reader = open_ok(&options);
    check_shape(reader, 1, 2, 3, 2, 10000);
    check_rows(reader, 1, 1, 2, expected);
    reader_close(reader);
}

static void test_floats(void **state)
{
    const double data[2][2] = {{0.25, 1.5}, {0.0, 3.0}};
    const float expected[] = {0.25f, 1.5f, 0.0f, 3.0f};
    (void)state;
    counts_file(2, (hsize_t[]){2, 2}, H5T_NATIVE_DOUBLE, data);
    struct reader_options options = {.in = in_file("counts"), .input = "real"};
    struct reader *reader = open_ok(&options);
    assert_int_equal(reader_shape(reader)->input, LATENT_INPUT_REAL);
    check_rows(reader, 0, 0, 2, expected);
    reader_close(reader);
    check_refused_in("counts", LATENT_E_VALUE, "bin 0, channel 0: expected a count");
}

static void check_width(const char *object, const char *name, double value, const char *text,
                        double option_ms, uint32_t expected_us)
{
    const uint8_t data[2] = {0, 1};
    hid_t file = file_new();
    dataset_put(file, "counts", 2, (hsize_t[]){2, 1}, H5T_NATIVE_UINT8, data);
    if (text) text_put(file, object, name, text);
    if (value > 0.0) number_put(file, object, name, value);
    H5Fclose(file);
    struct reader_options options = {.in = in_file("counts"), .bin_ms = option_ms};
    struct reader *reader = open_ok(&options);
    check_shape(reader, 0, 1, 2, 1, expected_us);
    reader_close(reader);
}

static void test_bin_width(void **state)
{
    (void)state;
    check_width("/", "bin_width_ms", 20.0, NULL, 0.0, 20000);
    check_width("counts", "bin_width_ms", 0.5, NULL, 0.0, 500);
    check_width("counts", "bin_width_us", 1000.0, NULL, 0.0, 1000);
    check_width("counts", "bin_width_ms", 0.0, "100.0", 0.0, 100000);
    check_width("/", "bin_width_ms", 0.0, NULL, 45.0, 45000);
    check_width("/", "bin_width_ms", 10.0, NULL, 10.0, 10000);
}

static void test_bin_width_refusals(void **state)
{
    const uint8_t data[2] = {0, 1};
    (void)state;
    counts_file(2, (hsize_t[]){2, 1}, H5T_NATIVE_UINT8, data);
    struct reader_options options = {.in = in_file("counts"), .bin_ms = 5.0};
    check_refused(&options, LATENT_E_CONFIG, "says bins of 10 ms, --bin-ms says 5");
    hid_t file = file_new();
    dataset_put(file, "counts", 2, (hsize_t[]){2, 1}, H5T_NATIVE_UINT8, data);
    H5Fclose(file);
    check_refused_in("counts", LATENT_E_CONFIG, "no attribute bin_width_ms");
    options.bin_ms = 10.0005;
    check_refused(&options, LATENT_E_CONFIG, "whole microseconds");
    options.bin_ms = 0.02; /* seconds, most likely */
    check_refused(&options, LATENT_E_CONFIG, "0.02 seconds are 20 ms");
    file = file_new();
    dataset_put(file, "counts", 2, (hsize_t[]){2, 1}, H5T_NATIVE_UINT8, data);
    number_put(file, "/", "bin_width_ms", 0.02);
    H5Fclose(file);
    options.bin_ms = 0.0;
    check_refused(&options, LATENT_E_CONFIG, "0.02 seconds are 20 ms");
}

/* ---- what is refused ---------------------------------------------------------------- */

static void test_file_refusals(void **state)
{
    struct reader_options options = {.in = "/nowhere/at/all.h5:/counts"};
    (void)state;
    check_refused(&options, LATENT_E_IO, "/nowhere/at/all.h5: No such file");
    options.in = file_path;
    check_refused(&options, LATENT_E_CONFIG, "expected FILE.h5:/path/of/dataset");
    FILE *file = fopen(file_path, "wb");
    assert_non_null(file);
    fputs("this is no HDF5 file", file);
    fclose(file);
    check_refused_in("counts", LATENT_E_FORMAT, "not an HDF5 file");
}

static void test_dataset_refusals(void **state)
{
    const uint8_t data[2] = {0, 1};
    hid_t file = file_new(), text = H5Tcopy(H5T_C_S1);
    (void)state;
    dataset_put(file, "counts", 2, (hsize_t[]){2, 1}, H5T_NATIVE_UINT8, data);
    dataset_put(file, "line", 1, (hsize_t[]){2}, H5T_NATIVE_UINT8, data);
    dataset_put(file, "four", 4, (hsize_t[]){2, 1, 1, 1}, H5T_NATIVE_UINT8, data);
    dataset_put(file, "texts", 2, (hsize_t[]){2, 1}, text, "ab");
    dataset_put(file, "empty", 2, (hsize_t[]){0, 3}, H5T_NATIVE_UINT8, NULL);
    H5Gclose(H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    number_put(file, "/", "bin_width_ms", 10.0);
    H5Tclose(text);
    H5Fclose(file);
    check_refused_in("spikes", LATENT_E_IO,
                     "no such dataset; the file has /counts, /empty, /four, /line");
    check_refused_in("group", LATENT_E_IO, "no such dataset");
    check_refused_in("line", LATENT_E_SHAPE, "found 1 dimensions");
    check_refused_in("four", LATENT_E_SHAPE, "found 4 dimensions");
    check_refused_in("texts", LATENT_E_FORMAT, "expected integers or floats, found texts");
    check_refused_in("empty", LATENT_E_SHAPE, "empty: dimension 1 of 2 is 0");
}

static void test_value_refusals(void **state)
{
    const int16_t negative[2][2] = {{0, 1}, {2, -3}};
    const float nan[1][2][2] = {{{0.0f, 1.0f}, {NAN, 2.0f}}};
    const uint32_t large[2][1] = {{16777215}, {16777216}};
    (void)state;
    counts_file(2, (hsize_t[]){2, 2}, H5T_NATIVE_INT16, negative);
    check_refused_in("counts", LATENT_E_VALUE,
                     "bin 1, channel 1: expected a count, whole and from 0 to 16777215, found -3");
    counts_file(3, (hsize_t[]){1, 2, 2}, H5T_NATIVE_FLOAT, nan);
    check_refused_in("counts", LATENT_E_VALUE, "trial 0, bin 1, channel 0: expected a count");
    struct reader_options real = {.in = in_file("counts"), .input = "real"};
    check_refused(&real, LATENT_E_VALUE, "channel 0: expected a finite value, found NaN");
    counts_file(2, (hsize_t[]){2, 1}, H5T_NATIVE_UINT32, large);
    check_refused_in("counts", LATENT_E_VALUE, "bin 1, channel 0: expected a count");
}

static void test_option_refusals(void **state)
{
    struct reader_options none = {0}, both = {.in = "a:/b", .ticks = "a:/c"};
    struct reader_options no_units = {.ticks = "a:/c", .bin_ms = 10.0};
    struct reader_options other_kind = {.in = "a:/b", .input = "spikes"};
    struct reader_options real_ticks = {
        .ticks = "a:/c", .units = "a:/d", .bin_ms = 10.0, .input = "real"};
    struct reader_options both_axes = {.in = "a:/b", .transpose = 1, .as_stored = 1};
    struct reader_options no_width = {.ticks = "a:/c", .units = "a:/d"};
    struct reader_options stray = {.in = "a:/b", .clock_hz = 3.0};
    (void)state;
    check_refused(&none, LATENT_E_CONFIG, "--in or --ticks is missing");
    check_refused(&both, LATENT_E_CONFIG, "--in and --ticks do not go together");
    check_refused(&no_units, LATENT_E_CONFIG, "--ticks needs --units");
    check_refused(&no_width, LATENT_E_CONFIG, "--ticks needs --bin-ms");
    check_refused(&stray, LATENT_E_CONFIG, "go with --ticks");
    check_refused(&other_kind, LATENT_E_CONFIG, "expected counts or real");
    check_refused(&real_ticks, LATENT_E_CONFIG, "without --input real");
    check_refused(&both_axes, LATENT_E_CONFIG, "do not go together");
}

/* ---- ticks -------------------------------------------------------------------------- */

/* A clock of 1000 Hz, spikes of units 0, 2 and 3, each unit's in order; 10 ms bins from 0.1 s on:
 * the edges 100, 110, 120 belong to the bin they open. */
static void ticks_file(void)
{
    const double ticks[] = {99, 100, 109, 110, 119, 105, 500, 105, 120};
    const double units[] = {0, 0, 3, 2, 2, 0, 3, 0, 0};
    const double good[] = {1, 1, 0, 2};
    hid_t file = file_new();
    vector_put(file, "tick", 9, ticks);
    vector_put(file, "unit", 9, units);
    vector_put(file, "good", 4, good);
    number_put(file, "/", "clock_hz", 1000.0);
    H5Fclose(file);
}

static struct reader_options ticks_options(void)
{
    return (struct reader_options){.ticks = in_file("tick"),
                                   .units = in_file("unit"),
                                   .start_s = 0.1,
                                   .seconds = 0.03,
                                   .bin_ms = 10.0};
}

static void test_ticks(void **state)
{
    const float expected[] = {3, 0, 0, 1, 0, 0, 2, 0, 1, 0, 0, 0};
    struct reader_options options = ticks_options();
    (void)state;
    ticks_file();
    struct reader *reader = open_ok(&options);
    check_shape(reader, 0, 1, 3, 4, 10000);
    check_rows(reader, 0, 0, 3, expected);
    check_rows(reader, 0, 1, 1, expected + 4);
    reader_close(reader);
}

static void test_ticks_of_good_units(void **state)
{
    const float expected[] = {3, 0, 1, 0, 0, 0, 1, 0, 0};
    struct reader_options options = ticks_options();
    (void)state;
    ticks_file();
    options.good = in_file("good");
    struct reader *reader = open_ok(&options);
    check_shape(reader, 0, 1, 3, 3, 10000);
    check_rows(reader, 0, 0, 3, expected);
    reader_close(reader);
}

/* Without --seconds up to and with the last spike, at 500 ticks; another clock by
 * option: ticks of 2000 Hz last half as long. Part of a bin is no bin. */
static void test_ticks_window(void **state)
{
    struct reader_options options = ticks_options();
    (void)state;
    ticks_file();
    options.seconds = 0.0;
    struct reader *reader = open_ok(&options);
    check_shape(reader, 0, 1, 41, 4, 10000);
    reader_close(reader);
    options.clock_hz = 2000.0;
    reader = open_ok(&options);
    check_shape(reader, 0, 1, 16, 4, 10000);
    reader_close(reader);
    options.seconds = 0.039;
    reader = open_ok(&options);
    check_shape(reader, 0, 1, 3, 4, 10000);
    reader_close(reader);
}

static void test_ticks_refusals(void **state)
{
    struct reader_options options = ticks_options();
    (void)state;
    ticks_file();
    options.units = in_file("good");
    check_refused(&options, LATENT_E_SHAPE, "expected one unit for each spike");
    options = ticks_options();
    options.good = in_file("tick");
    options.start_s = 1.0;
    check_refused(&options, LATENT_E_CONFIG, "the last spike is at 0.5 s");
    options = ticks_options();
    options.seconds = 0.001;
    check_refused(&options, LATENT_E_CONFIG, "nothing from 0.1 s on");
    options.bin_ms = 10.00025;
    check_refused(&options, LATENT_E_CONFIG, "whole microseconds");
}

static void ticks_file_of(const double ticks[2], const double units[2], const double good[2])
{
    hid_t file = file_new();
    vector_put(file, "tick", 2, ticks);
    vector_put(file, "unit", 2, units);
    vector_put(file, "good", 2, good);
    H5Fclose(file);
}

static void test_ticks_value_refusals(void **state)
{
    const double good_ticks[2] = {1, 2}, bad_ticks[2] = {1, -2}, nan_ticks[2] = {NAN, 1};
    const double units[2] = {0, 1}, bad_units[2] = {0, 2}, half_units[2] = {0, 0.5};
    const double good[2] = {1, 1}, none_good[2] = {0, 0};
    struct reader_options options = {.ticks = in_file("tick"),
                                     .units = in_file("unit"),
                                     .good = in_file("good"),
                                     .bin_ms = 10.0};
    (void)state;
    ticks_file_of(good_ticks, units, good);
    check_refused(&options, LATENT_E_CONFIG, "no attribute clock_hz: give --clock-hz");
    options.clock_hz = 1000.0;
    ticks_file_of(bad_ticks, units, good);
    check_refused(&options, LATENT_E_VALUE, "value 1: expected a number from 0");
    ticks_file_of(nan_ticks, units, good);
    check_refused(&options, LATENT_E_VALUE, "value 0: expected a number from 0");
    ticks_file_of(good_ticks, bad_units, good);
    check_refused(&options, LATENT_E_VALUE, "from 0 to below 2, found 2");
    ticks_file_of(good_ticks, half_units, good);
    check_refused(&options, LATENT_E_VALUE, "expected a whole number");
    ticks_file_of(good_ticks, units, none_good);
    check_refused(&options, LATENT_E_VALUE, "no unit is good");
}

/* The last test: the wish to stop stays for the life of the process. */
static void test_stop_while_checking(void **state)
{
    const float values[4] = {1, 2, 3, 4};
    struct reader_options options = {.in = in_file("counts"), .bin_ms = 10.0};
    (void)state;
    counts_file(2, (const hsize_t[2]){2, 2}, H5T_NATIVE_FLOAT, values);
    stop_install();
    assert_int_equal(raise(SIGINT), 0);
    check_refused(&options, LATENT_E_IO, "stopped while checking");
}

static int folder_make(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(file_path, sizeof file_path, "%s/test.h5", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    unlink(file_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_dimensions),
        cmocka_unit_test(test_three_dimensions),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_bin_width),
        cmocka_unit_test(test_bin_width_refusals),
        cmocka_unit_test(test_file_refusals),
        cmocka_unit_test(test_dataset_refusals),
        cmocka_unit_test(test_value_refusals),
        cmocka_unit_test(test_option_refusals),
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_ticks_of_good_units),
        cmocka_unit_test(test_ticks_window),
        cmocka_unit_test(test_ticks_refusals),
        cmocka_unit_test(test_ticks_value_refusals),
        cmocka_unit_test(test_stop_while_checking),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
