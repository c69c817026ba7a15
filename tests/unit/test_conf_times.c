/* Times of a stream against each other and the bins of its model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf/check.h"
#include "conf/read.h"
#include "conf_fixture.h"

#define MS ((uint64_t)1000000)
#define CLIENTS_MOST_NS (3600000 * MS) /* valid_for above it is refused by every client */

/* What conf_check_times says of these lines with bins of so many ms; "" when nothing. */
static const char *times_problem_of(struct read *r, const char *lines, uint32_t bin_ms,
                                    uint32_t every_bins)
{
    char text[512];
    struct conf_stream *v;
    bool names_valid_for, good;

    snprintf(text, sizeof text, STREAM "%s", lines);
    read_text(r, text);
    assert_int_equal(r->status, 0);
    v = &r->conf.streams[0].values;
    names_valid_for = v->valid_for_ns != 0;
    conf_resolve(v, bin_ms * 1000, every_bins);
    good =
        conf_check_times(&r->conf, &r->conf.streams[0], bin_ms * 1000, every_bins, names_valid_for);
    assert_int_equal(good, r->conf.n_problems == 0);
    return r->conf.n_problems ? problem_at(r, 0) : "";
}

static const char *times_problem(struct read *r, const char *lines, uint32_t bin_ms)
{
    return times_problem_of(r, lines, bin_ms, 1);
}

static void check_times_good(const char *lines, uint32_t bin_ms)
{
    struct read r;
    const char *found = times_problem(&r, lines, bin_ms);

    if (found[0]) fail_msg("bins of %u ms, %s: %s", bin_ms, lines, found);
    conf_free(&r.conf);
}

static void check_times_bad(const char *lines, uint32_t bin_ms, const char *expected)
{
    struct read r;
    const char *found = times_problem(&r, lines, bin_ms);

    assert_int_equal(r.conf.n_problems, 1);
    if (!strstr(found, expected)) fail_msg("%s: expected %s, found %s", lines, expected, found);
    conf_free(&r.conf);
}

/* Whatever the bin and the policy: a frame is valid until the next one that on-missing makes, and
 * not beyond the lease, which has room for the ramp; and clients believe it. */
static void test_defaults_fit_each_other(void **state)
{
    static const char *const lines[] = {"",
                                        "on-missing = predict\n",
                                        "on-missing = safe\n",
                                        "on-missing = skip\n",
                                        "safe-ramp-ms = none\n",
                                        "safe-ramp-ms = 1500\n",
                                        "missing-after-ms = 1\n",
                                        "missing-after-ms = 3000\n"};
    (void)state;
    for (uint32_t ms = 1; ms <= 500; ms++) {
        struct conf_stream s = {.safe_ramp_ns = 100 * MS};
        uint64_t bin_ns = ms * MS;

        conf_resolve(&s, ms * 1000, 1);
        assert_true(s.valid_for_ns >= s.missing_after_ns + bin_ns && s.valid_for_ns >= 50 * MS);
        assert_true(s.valid_for_ns <= CLIENTS_MOST_NS);
        assert_true(s.lease_ns >= s.valid_for_ns && s.lease_ns >= 200 * MS);
        assert_true(s.lease_ns >= s.safe_ramp_ns + 2 * bin_ns);
    }
    for (uint32_t ms = 1; ms <= 500; ms += 7)
        for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
            check_times_good(lines[i], ms);
        }
}

/* A default that clients would refuse does not come to be, whatever the other times. */
static void test_longest(void **state)
{
    struct conf_stream s = {.missing_after_ns = CLIENTS_MOST_NS};
    (void)state;
    conf_resolve(&s, 500000, 1);
    assert_int_equal(s.valid_for_ns, CLIENTS_MOST_NS);
    check_times_good("missing-after-ms = 3600000\n", 20);
}

/* A model that gives values every so many bins: they are valid until the next, after a gap, too. */
static void test_expiry_between_values(void **state)
{
    static const struct {
        const char *lines, *expected;
    } cases[] = {{"", ""},
                 {"missing-after-ms = 100\n", ""},
                 {"valid-for-ms = 140\n", ""},
                 {"valid-for-ms = 139\n", "139: the model gives values every 4 bins"},
                 {"valid-for-ms = 139\n", "at least 140 (missing-after-ms and 4 bins)"},
                 {"valid-for-ms = 139\non-missing = skip\n", ""}};
    struct read r;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *found = times_problem_of(&r, cases[i].lines, 20, 4);

        if (!strstr(found, cases[i].expected) || !cases[i].expected[0] != !found[0])
            fail_msg("%s: expected %s, found %s", cases[i].lines, cases[i].expected, found);
        conf_free(&r.conf);
    }
}

static void test_expiry_between_frames(void **state)
{
    (void)state;
    check_times_bad("valid-for-ms = 30\n", 20,
                    ":3: valid-for-ms: 30: a frame expires before the next that belongs to it, "
                    "60 ms later (missing-after-ms)");
    check_times_bad("valid-for-ms = 59.999\n", 20, "60 ms later (missing-after-ms)");
    check_times_good("valid-for-ms = 60\n", 20);
    check_times_bad("valid-for-ms = 50\nmissing-after-ms = 150\nlease-ms = 400\n", 20,
                    "150 ms later (missing-after-ms)");
    check_times_bad("valid-for-ms = 99\nmissing-after-ms = 1\n", 100, "100 ms later (a bin)");
    check_times_bad("valid-for-ms = 30\non-missing = predict\n", 20, "a frame expires");
    check_times_bad("valid-for-ms = 30\non-missing = safe\n", 20, "a frame expires");
    check_times_good("valid-for-ms = 30\non-missing = skip\n", 20);
    check_times_good("valid-for-ms = 1\non-missing = skip\n", 20);
}

static void test_validity_beyond_the_lease(void **state)
{
    (void)state;
    check_times_bad("missing-after-ms = 200\nlease-ms = 210\n", 20,
                    ":4: lease-ms: 210 is shorter than a frame is valid (valid-for-ms = auto is "
                    "220: ");
    check_times_good("missing-after-ms = 200\nlease-ms = 220\n", 20);
    check_times_good("missing-after-ms = 200\nlease-ms = 210\nvalid-for-ms = 220\n", 20);
    check_times_bad("missing-after-ms = 200\nlease-ms = 210\nvalid-for-ms = auto\n", 20,
                    "is shorter than a frame is valid");
}

static void test_lease_has_room(void **state)
{
    (void)state;
    check_times_bad("lease-ms = 100\nsafe-ramp-ms = 90\n", 20,
                    "lease-ms: 100 is too short for bins of 20 ms: with safe-ramp-ms = 90 it "
                    "must be at least 110");
    check_times_good("lease-ms = 110\nsafe-ramp-ms = 90\n", 20);
}

/* What a record holds was in force when it was made. */
static void test_configuration_of_a_record(void **state)
{
    static const char *const texts[] = {
        STREAM "lease-ms = 50\nsafe-ramp-ms = 100\n", STREAM "input = tcp://192.0.2.1:5570\n",
        "[latentd]\nsafe-file = here\n" STREAM, STREAM "input-server-key = k\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct conf c;
        struct read r;

        read_text(&r, texts[i]);
        assert_int_equal(r.status, -1);
        conf_free(&r.conf);
        assert_int_equal(conf_read_text(&c, "(record)/configuration", texts[i]), 0);
        assert_int_equal(c.n_streams, 1);
        conf_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_fit_each_other),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_expiry_between_frames),
        cmocka_unit_test(test_expiry_between_values),
        cmocka_unit_test(test_validity_beyond_the_lease),
        cmocka_unit_test(test_lease_has_room),
        cmocka_unit_test(test_configuration_of_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
