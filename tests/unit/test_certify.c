/* Certify: exact percentiles, what makes a verdict, and what is read of /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certify/findings.h"
#include "certify/network.h"
#include "certify/sysfile.h"

#define MS UINT64_C(1000000)

static struct series *series_of(struct findings *f, uint64_t budget_ns, size_t n, size_t n_slow,
                                uint64_t slow_ns)
{
    struct series *s = findings_series(f, CERTIFY_END, n, budget_ns, "%s", "test");

    assert_non_null(s);
    for (size_t i = 0; i < n; i++) series_add(s, i < n_slow ? slow_ns : MS);
    series_sort(s);
    return s;
}

static void test_quantiles(void **state)
{
    static struct findings f;
    struct series *s = findings_series(&f, CERTIFY_WAKE, 1000, 0, "n");

    (void)state;
    assert_int_equal(series_quantile(s, 0.5), 0);
    for (uint64_t i = 1000; i > 0; i--) series_add(s, i);
    series_add(s, 5000); /* beyond the capacity */
    series_sort(s);
    assert_int_equal(s->n, 1000);
    assert_int_equal(series_quantile(s, 0), 1);
    assert_int_equal(series_quantile(s, 0.5), 500);
    assert_int_equal(series_quantile(s, 0.99), 990);
    assert_int_equal(series_quantile(s, 0.999), 999);
    assert_int_equal(series_quantile(s, 1), 1000);
    findings_free(&f);
}

/* Of 10,000: how many are slow, how slow, how many are lost. */
static void test_verdicts(void **state)
{
    static const struct {
        size_t n_slow, n_lost, n_missed;
        uint64_t slow_ns, budget_ns;
        enum verdict verdict;
    } cases[] = {
        {0, 0, 0, 0, 10 * MS, VERDICT_OK},
        {1, 0, 0, 10 * MS - 1, 10 * MS, VERDICT_OK}, /* the largest may be below the budget */
        {1, 0, 1, 10 * MS, 10 * MS, VERDICT_FAIL},   /* at the budget is too late */
        {0, 1, 1, 0, 10 * MS, VERDICT_FAIL},         /* lost */
        {10, 0, 0, 9 * MS, 10 * MS, VERDICT_OK},     /* 99.9 % are below half of it */
        {11, 0, 0, 9 * MS, 10 * MS, VERDICT_FAIL},   /* fewer are */
        {10000, 0, 0, 100 * MS, 0, VERDICT_OK},      /* nothing is asked of it */
    };
    static struct findings f;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct series *s =
            series_of(&f, cases[i].budget_ns, 10000, cases[i].n_slow, cases[i].slow_ns);

        s->n_lost = cases[i].n_lost;
        assert_int_equal(series_n_missed(s), cases[i].n_missed);
        assert_int_equal(series_verdict(s), cases[i].verdict);
    }
    assert_int_equal(series_verdict(series_of(&f, MS, 0, 0, 0)), VERDICT_UNKNOWN);
    findings_free(&f);
}

static void test_worst(void **state)
{
    static struct findings f;
    struct finding row = {CERTIFY_DISK, VERDICT_OK, "what", "wanted", "remedy", ""};

    (void)state;
    assert_int_equal(findings_worst(&f, CERTIFY_DISK), VERDICT_OK);
    findings_add(&f, &row, "%d", 7);
    assert_string_equal(f.rows[0].found, "7");
    row.verdict = VERDICT_WARN;
    findings_add(&f, &row, "8");
    row.verdict = VERDICT_UNKNOWN;
    findings_add(&f, &row, "9");
    assert_int_equal(findings_worst(&f, CERTIFY_DISK), VERDICT_WARN);
    assert_int_equal(findings_worst(&f, CERTIFY_KERNEL), VERDICT_OK);
    for (int i = 0; i < 2 * FINDINGS_MAX; i++) findings_add(&f, &row, "more");
    assert_int_equal(f.n, FINDINGS_MAX);
}

static void test_values(void **state)
{
    const char *text = "MemTotal:       100 kB\nMemTotals: 5\nmodel name\t: A B C\nlast=x";
    char value[8];

    (void)state;
    assert_true(sysfile_value(text, "MemTotal", value, sizeof value));
    assert_string_equal(value, "100 kB");
    assert_true(sysfile_value(text, "model name", value, sizeof value));
    assert_string_equal(value, "A B C");
    assert_true(sysfile_value(text, "last", value, sizeof value));
    assert_string_equal(value, "x");
    assert_false(sysfile_value(text, "Mem", value, sizeof value));
    assert_true(sysfile_value("k: 0123456789", "k", value, sizeof value));
    assert_string_equal(value, "0123456"); /* cut to the room there is */
}

static void test_coalescing(void **state)
{
    static const struct {
        struct coalescing c;
        enum verdict verdict;
        const char *text;
    } cases[] = {
        {{.is_told = true}, VERDICT_OK, "0 us"},
        {{.is_told = true, .rx_frames = 1}, VERDICT_OK, "0 us"}, /* each packet at once */
        {{.is_told = true, .rx_us = 3, .rx_frames = 0}, VERDICT_WARN, "3 us or 0 frames"},
        {{.is_told = true, .rx_frames = 8}, VERDICT_WARN, "0 us or 8 frames"},
        {{.is_told = true, .adapts = true}, VERDICT_WARN, "adaptive, now 0 us or 0 frames"},
        {{.is_told = false, .rx_us = 3}, VERDICT_UNKNOWN, "its driver does not tell"},
    };
    char text[80];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(coalescing_judge(&cases[i].c, text, sizeof text), cases[i].verdict);
        assert_string_equal(text, cases[i].text);
    }
}

/* As chronyc 4.3 prints them. */
static void test_tracking(void **state)
{
    static const struct {
        const char *line;
        enum verdict verdict;
        const char *text;
    } cases[] = {
        {"C0A80001,192.168.0.1,2,1700000000.5,-0.000012,0.00001,0.00002,-11.25,0.001,0.05,0.0004,"
         "0.0002,64.4,Normal\n",
         VERDICT_OK,
         "192.168.0.1, stratum 2: offset -0.012 ms, -11.250 ppm within 0.05, dispersion 0.2 ms"},
        {"50505300,,1,1700000000.5,0.002,0,0,1,0,0.05,0,0.0001,16,Normal", VERDICT_WARN,
         "50505300, stratum 1: offset 2 ms, 1.000 ppm within 0.05, dispersion 0.1 ms"},
        {"50505300,PPS,1,1700000000.5,0,0,0,1,0,400,0,0.0001,16,Normal", VERDICT_WARN,
         "PPS, stratum 1: offset 0 ms, 1.000 ppm within 400, dispersion 0.1 ms"},
        {"00000000,,0,0.0,0,0,0,0,0,0,1,1,0,Not synchronised", VERDICT_WARN, "not synchronised"},
    };
    struct tracking t;
    char text[160];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(tracking_read(cases[i].line, &t));
        assert_int_equal(tracking_judge(&t, text, sizeof text), cases[i].verdict);
        assert_string_equal(text, cases[i].text);
    }
    assert_false(tracking_read("506 Cannot talk to daemon", &t));
    assert_false(tracking_read("", &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles),  cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_worst),      cmocka_unit_test(test_values),
        cmocka_unit_test(test_coalescing), cmocka_unit_test(test_tracking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
