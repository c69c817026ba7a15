/* For each mistake in a configuration the exact text, with line, key, what is allowed
 * and the nearest known word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/read.h"
#include "conf/types.h"
#include "conf_fixture.h"

static void test_unknown_names(void **state)
{
    (void)state;
    check_problem(STREAM "buget-ms = 1\n",
                  ":3: buget-ms: not a key of [stream NAME]; nearest: budget-ms");
    check_problem("[latentd]\ncontroll = x\n" STREAM,
                  ":2: controll: not a key of [latentd]; nearest: control");
    check_problem(STREAM "\n\nzzzzzzzz = 1\n",
                  ":5: zzzzzzzz: not a key of [stream NAME]; see latentd --help-config");
    check_problem("[lantentd]\nx = 1\n" STREAM,
                  ":1: [lantentd] is not known; allowed: [latentd], [stream NAME], "
                  "[client NAME]; nearest: latentd");
    check_problem("[streem arm]\n" STREAM,
                  ":1: [streem arm] is not known; allowed: [latentd], [stream NAME], "
                  "[client NAME]; nearest: stream");
}

/* What is no path is not made one; a comment may stand behind a value, not in place of it. */
static void test_answers_for_paths(void **state)
{
    (void)state;
    check_problem(STREAM "record = yes\n",
                  ":3: record: 'yes' is no path; allowed: none, or the path of a file (./yes if it "
                  "is called so)");
    check_problem(
        STREAM "record = No # thanks\n",
        ":3: record: 'No' is no path; allowed: none, or the path of a file (./No if it is "
        "called so)");
    check_problem(
        STREAM "record = None\n",
        ":3: record: 'None' is no path; allowed: none, or the path of a file (./None if it "
        "is called so)");
    check_problem(
        STREAM "input-server-key = 1\n",
        ":3: input-server-key: '1' is no path; allowed: none, or the path of a file (./1 if "
        "it is called so)");
    check_problem("[stream arm]\nmodel = true\n",
                  ":2: model: 'true' is no path; allowed: the path of a file (./true if it is "
                  "called so)");
    check_problem(STREAM "record = \"a b.record\"\n",
                  ":3: record: \"a b.record\": write the path without quotes");
    check_problem(STREAM "record = # where\n", ":3: record: is empty; write PATH");
    check_problem(STREAM "record # = a\n", ":3: 'record ' is neither [section] nor key = value");
}

static void test_policies(void **state)
{
    (void)state;
    check_problem(STREAM "on-gap = predikt\n",
                  ":3: on-gap: 'predikt' is not known; allowed: auto, predict, zero, "
                  "hold-input, mean, reset; nearest: predict");
    check_problem(STREAM "on-late = hold_frame\n",
                  ":3: on-late: 'hold_frame' is not known; allowed: publish, "
                  "hold-frame, skip, safe; nearest: hold-frame");
    check_problem(STREAM "on-missing = zero\n",
                  ":3: on-missing: 'zero' is not known; allowed: hold-frame, predict, safe, skip");
    check_problem(STREAM "safe-exit = 0\n",
                  ":3: safe-exit: '0' is no such number; allowed: operator, or 1 to 1000000");
    check_problem(STREAM "missing-after = 3\n",
                  ":3: missing-after: not a key of [stream NAME]; nearest: missing-after-ms");
}

static void test_ramp_longer_than_the_lease(void **state)
{
    (void)state;
    check_problem(STREAM "safe-ramp-ms = 30\nlease-ms = 20\n",
                  ":3: safe-ramp-ms: 30 is longer than lease-ms (20), within which the "
                  "ramp must end");
    check_problem(
        STREAM "lease-ms = 20\n",
        ":1: safe-ramp-ms: 100 is longer than lease-ms (20), within which the ramp must end");
}

static void test_bad_values(void **state)
{
    (void)state;
    check_problem("[latentd]\nlock-memory = maybe\n" STREAM,
                  ":2: lock-memory: 'maybe' is not known; allowed: no, yes");
    check_problem(STREAM "budget-ms = -1\n",
                  ":3: budget-ms: '-1' is no time; allowed: auto, or milliseconds from "
                  "0.001 to 3600000");
    check_problem(
        STREAM "budget-ms = nan\n",
        ":3: budget-ms: 'nan' is no time; allowed: auto, or milliseconds from 0.001 to 3600000");
    check_problem(
        STREAM "budget-ms = 0x10\n",
        ":3: budget-ms: '0x10' is no time; allowed: auto, or milliseconds from 0.001 to 3600000");
    check_problem(STREAM "cpu = 1024\n",
                  ":3: cpu: '1024' is no such number; allowed: any, or 0 to 1023");
    check_problem("[latentd]\nrealtime-priority = 0\n" STREAM,
                  ":2: realtime-priority: '0' is no such number; allowed: none, or 1 to 99");
    check_problem(STREAM "mode = A\ncpu = \033[31m\n",
                  ":4: cpu: '?[31m' is no such number; allowed: any, or 0 to 1023");
    check_problem(STREAM "max-gap-ms = 5 s\n",
                  ":3: max-gap-ms: '5 s' is no time; allowed: milliseconds from 0.001 to 3600000");
    check_problem(STREAM "reorder-window = 1025\n",
                  ":3: reorder-window: '1025' is no such number; allowed: 1 to 1024");
    check_problem(STREAM "reorder-window = 1x\n",
                  ":3: reorder-window: '1x' is no such number; allowed: 1 to 1024");
    check_problem(STREAM "outputs = latents rate\n",
                  ":3: outputs: 'rate' is not known; allowed: latents, rates, readout, "
                  "logits; "
                  "nearest: rates");
    check_problem(STREAM "outputs = ,\n",
                  ":3: outputs: is empty; allowed: all, or several of latents, rates, readout, "
                  "logits");
    check_problem(STREAM "mode =\n", ":3: mode: is empty; write NAME");
    check_problem(STREAM "loop = a/b\n",
                  ":3: loop: 'a/b' is no name of a loop; up to 10 letters, digits, - and _");
    check_problem(STREAM "input = inproc://x\n",
                  ":3: input: 'inproc://x' is no endpoint; allowed: tcp://HOST:PORT (PORT 0 "
                  "to 65535 or *), ipc://PATH (at most 107 bytes)");
    check_problem(STREAM "input = tcp://127.0.0.1:65536\n",
                  ":3: input: 'tcp://127.0.0.1:65536' is no endpoint; allowed: "
                  "tcp://HOST:PORT (PORT 0 to 65535 or *), ipc://PATH (at most 107 bytes)");
}

static void test_lines(void **state)
{
    char text[2048], expected[64];
    size_t n;
    (void)state;
    check_problem("a = 1\n" STREAM, ":1: a: stands before any section heading");
    check_problem(STREAM "what is this\n",
                  ":3: 'what is this' is neither [section] nor key = value");
    check_problem(STREAM "word ; = comment\n",
                  ":3: 'word ; = comment' is neither [section] nor key = value");
    check_problem(STREAM "= 3\n", ":3: '= 3' is neither [section] nor key = value");
    check_problem(STREAM "[stream leg\nmodel = x\n",
                  ":3: '[stream leg' is no heading; write [NAME] alone");
    check_problem(STREAM "mode = A\nmode = C\n", ":4: mode: given twice (first in line 3)");
    check_problem(STREAM STREAM, ":3: [stream arm] is given twice (first in line 1)");
    check_problem("[latentd]\n[latentd]\n" STREAM,
                  ":2: [latentd] is given twice (first in line 1)");
    n = (size_t)snprintf(text, sizeof text, STREAM "mode = ");
    memset(text + n, 'x', sizeof text - n);
    snprintf(text + sizeof text - 32, 32, "\nprecision = f32\nmode = A\n");
    snprintf(expected, sizeof expected, ":3: longer than %d bytes", 1000);
    check_problem(text, expected); /* and the lines after it are read */
}

/* libinih would read an indented key as more of the value above it, and cut at 200
 * bytes. */
static void test_traps_of_libinih(void **state)
{
    char text[600] = STREAM "mode = ";
    struct read r;
    (void)state;
    read_text(&r, STREAM "mode = A\n  precision = f32\n");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.conf.streams[0].values.mode, "A");
    assert_string_equal(r.conf.streams[0].values.precision, "f32");
    conf_free(&r.conf);
    memset(text + strlen(text), 'x', 400);
    read_text(&r, text);
    assert_int_equal(r.status, 0);
    assert_int_equal(strlen(r.conf.streams[0].values.mode), 400);
    conf_free(&r.conf);
}

static void test_zero_byte(void **state)
{
    static const char text[] = STREAM "mode\0 = A\n";
    struct read r;
    (void)state;
    read_bytes(&r, text, sizeof text - 1);
    assert_string_equal(problem_at(&r, 0), ":3: holds a zero byte: not a text file");
    conf_free(&r.conf);
}

static void test_stream_names(void **state)
{
    (void)state;
    check_problem(STREAM "[stream]\n",
                  ":3: '' is no name of a stream; 1 to 32 letters, digits, - and _");
    check_problem(STREAM "[stream a/b]\n", ":3: 'a/b' is no name of a stream; 1 to 32 "
                                           "letters, digits, - and _");
    check_problem(STREAM "[stream abcdefghijklmnopqrstuvwxyz0123456]\n",
                  ":3: 'abcdefghijklmnopqrstuvwxyz0123456' is no name of a stream; 1 to 32 "
                  "letters, digits, - and _");
}

static void test_whole_file(void **state)
{
    struct conf c;
    (void)state;
    check_problem("", ": no stream; add a section [stream NAME] with a model");
    check_problem("[stream arm]\n",
                  ":1: model: missing in [stream arm]; write the path of a model file");
    assert_int_equal(conf_read(&c, "/nowhere/x.conf"), -1);
    assert_string_equal(c.problems[0], "/nowhere/x.conf: cannot open: No such file or directory");
    conf_free(&c);
    assert_int_equal(conf_read(&c, "/tmp"), -1); /* a folder */
    assert_string_equal(c.problems[0], "/tmp: cannot read: Is a directory");
    conf_free(&c);
}

static void test_sections_that_do_not_fit(void **state)
{
    const char *two = STREAM "[stream leg]\nmodel = n\n";
    char text[512];
    (void)state;
    snprintf(text, sizeof text, "%sinput-socket = pull\n", two);
    check_problem(text, ":5: input-socket: differs from [stream arm], which uses the same "
                        "socket; make them equal, or give the streams different endpoints");
    snprintf(text, sizeof text, "%sloop = 1\n", two);
    check_problem(text, ":5: loop: differs from [stream arm], which uses the same socket; "
                        "make them equal, or give the streams different endpoints");
    snprintf(text, sizeof text, "%sloop = 1\ninput = ipc:///a\noutput = ipc:///b\n", two);
    struct read r;
    read_text(&r, text);
    assert_int_equal(r.status, 0);
    conf_free(&r.conf);
    check_problem(STREAM "input = tcp://127.0.0.1:*\ninput-attach = connect\n",
                  ":3: input: tcp://127.0.0.1:*: connect needs a port number");
}

static void test_plaintext(void **state)
{
    static const char *const local[] = {"tcp://127.0.0.1:1", "tcp://127.9.9.9:*",
                                        "tcp://localhost:0", "ipc:///x"};
    static const char *const remote[] = {"tcp://*:5", "tcp://0.0.0.0:5", "tcp://lab:5",
                                         "tcp://127.lab:5", "tcp://10.0.0.1:5"};
    char text[256];
    struct read r;
    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        assert_true(endpoint_is_local(local[i]));
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++) {
        assert_false(endpoint_is_local(remote[i]));
        snprintf(text, sizeof text, STREAM "output = %s\n", remote[i]);
        read_text(&r, text);
        assert_int_equal(r.conf.n_problems, 1);
        assert_non_null(strstr(problem_at(&r, 0), ":3: output: "));
        assert_non_null(strstr(problem_at(&r, 0), "plaintext = anywhere"));
        conf_free(&r.conf);
        snprintf(text, sizeof text, "[latentd]\nplaintext = anywhere\n" STREAM "output = %s\n",
                 remote[i]);
        read_text(&r, text);
        assert_int_equal(r.status, 0);
        conf_free(&r.conf);
    }
}

/* Every mistake of a file is told, in one go. */
static void test_every_mistake(void **state)
{
    struct read r;
    (void)state;
    read_text(&r, "x = 1\n[latentd]\ncontrol = 5\n[foo]\n[stream arm]\nmodel = m\n"
                  "budget-ms = 0\nno-such-key = 1\njunk\non-gap = zerro\n");
    assert_int_equal(r.conf.n_problems, 7);
    assert_non_null(strstr(problem_at(&r, 0), ":1: x: "));
    assert_non_null(strstr(problem_at(&r, 1), ":3: control: "));
    assert_non_null(strstr(problem_at(&r, 2), ":4: [foo] "));
    assert_non_null(strstr(problem_at(&r, 3), ":7: budget-ms: "));
    assert_non_null(strstr(problem_at(&r, 4), ":8: no-such-key: "));
    assert_non_null(strstr(problem_at(&r, 5), ":9: 'junk' "));
    assert_non_null(strstr(problem_at(&r, 6), ":10: on-gap: "));
    conf_free(&r.conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_answers_for_paths),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_ramp_longer_than_the_lease),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_traps_of_libinih),
        cmocka_unit_test(test_zero_byte),
        cmocka_unit_test(test_stream_names),
        cmocka_unit_test(test_whole_file),
        cmocka_unit_test(test_sections_that_do_not_fit),
        cmocka_unit_test(test_plaintext),
        cmocka_unit_test(test_every_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
