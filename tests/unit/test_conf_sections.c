/* Sections that must fit each other: sockets bound twice, loops on two CPUs, files that
 * are far too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/text.h"
#include "conf/types.h"
#include "conf_fixture.h"

static void test_clashing_endpoints(void **state)
{
    static const char *const clashing[][2] = {{"ipc:///a", "ipc:///a"},
                                              {"tcp://127.0.0.1:5", "tcp://127.0.0.1:5"},
                                              {"tcp://127.0.0.1:5", "tcp://127.0.0.1:05"},
                                              {"tcp://127.0.0.1:5", "tcp://*:5"},
                                              {"tcp://0.0.0.0:5", "tcp://lab:5"}};
    static const char *const apart[][2] = {{"ipc:///a", "ipc:///b"},
                                           {"tcp://127.0.0.1:5", "tcp://127.0.0.1:6"},
                                           {"tcp://127.0.0.1:5", "tcp://127.0.0.2:5"},
                                           {"tcp://127.0.0.1:*", "tcp://127.0.0.1:*"},
                                           {"tcp://127.0.0.1:0", "tcp://127.0.0.1:0"},
                                           {"tcp://127.0.0.1:5", "ipc:///a"}};
    (void)state;
    for (size_t i = 0; i < sizeof clashing / sizeof clashing[0]; i++) {
        assert_true(endpoints_clash(clashing[i][0], clashing[i][1]));
        assert_true(endpoints_clash(clashing[i][1], clashing[i][0]));
    }
    for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++) {
        assert_false(endpoints_clash(apart[i][0], apart[i][1]));
        assert_false(endpoints_clash(apart[i][1], apart[i][0]));
    }
}

static void test_bound_twice(void **state)
{
    (void)state;
    check_problem(STREAM "input = ipc:///a\noutput = ipc:///a\n",
                  ":4: output: ipc:///a cannot be bound twice: it is also input of "
                  "[stream arm]; choose another endpoint");
    check_problem("[latentd]\ncontrol = ipc:///a\n" STREAM "output = ipc:///a\n",
                  ":5: output: ipc:///a cannot be bound twice: it is also control of "
                  "[latentd]; choose another endpoint");
    check_problem(STREAM "input = ipc:///a\n[stream leg]\nmodel = n\n"
                         "input = ipc:///b\noutput = ipc:///a\n",
                  ":7: output: ipc:///a cannot be bound twice: it is also input of "
                  "[stream arm]; choose another endpoint");
    check_problem(STREAM "[stream leg]\nmodel = n\ninput = tcp://localhost:5\n"
                         "[stream eye]\nmodel = n\ninput = tcp://localhost:05\n",
                  ":8: input: tcp://localhost:05 cannot be bound twice: it is also "
                  "input of [stream leg]; choose another endpoint");
    check_good(STREAM "[stream leg]\nmodel = n\n"); /* shared sockets */
    check_good(STREAM "output = ipc:///a\n[stream leg]\nmodel = n\n"
                      "input = ipc:///a\ninput-attach = connect\noutput = ipc:///b\n");
}

static void test_cpu_of_a_loop(void **state)
{
    (void)state;
    check_problem(STREAM "cpu = 1\n[stream leg]\nmodel = n\ncpu = 2\n",
                  ":6: cpu: differs from [stream arm], which runs in the same loop; "
                  "make them equal, or give them different loops");
    check_problem(STREAM "cpu = 1\n[stream leg]\nmodel = n\n",
                  ":4: cpu: differs from [stream arm], which runs in the same loop; "
                  "make them equal, or give them different loops");
    check_good(STREAM "cpu = 1\n[stream leg]\nmodel = n\ncpu = 1\n");
    check_good(STREAM "cpu = 1\n[stream leg]\nmodel = n\nloop = legs\n"
                      "input = ipc:///a\noutput = ipc:///b\n");
}

static void test_scheduling_is_read_back(void **state)
{
    const char *text = "[latentd]\nrealtime-priority = 50\nio-cpu = 0\n" STREAM "cpu = 3\n";
    char printed[8192] = "";
    FILE *out = fmemopen(printed, sizeof printed, "w");
    struct read r;
    (void)state;
    read_text(&r, text);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.conf.daemon.realtime_priority, 50);
    assert_int_equal(r.conf.daemon.io_cpu, 0);
    assert_int_equal(r.conf.streams[0].values.cpu, 3);
    conf_print(&r.conf, out);
    fclose(out);
    assert_non_null(strstr(printed, "\nrealtime-priority = 50\nio-cpu = 0\n"));
    assert_non_null(strstr(printed, "\ncpu = 3\n"));
    conf_free(&r.conf);
    read_text(&r, STREAM);
    assert_int_equal(r.conf.daemon.realtime_priority, 0);
    assert_int_equal(r.conf.daemon.io_cpu, CONF_ANY_CPU);
    assert_int_equal(r.conf.streams[0].values.cpu, CONF_ANY_CPU);
    conf_free(&r.conf);
}

/* Reading stays quick however long the file: what it costs grows with the square of
 * streams and problems, so both have a bound. */
static void test_far_too_much(void **state)
{
    enum { N_SECTIONS = 20000 };
    char *text = malloc(N_SECTIONS * 40), *at = text;
    struct read r;
    (void)state;
    assert_non_null(text);
    for (int i = 0; i < N_SECTIONS; i++) at += snprintf(at, 40, "[stream s%d]\nmodel = m\n", i);
    read_text(&r, text);
    assert_int_equal(r.status, -1);
    assert_int_equal(r.conf.n_streams, CONF_MAX_STREAMS);
    assert_int_equal(r.conf.n_problems, CONF_MAX_PROBLEMS);
    assert_string_equal(problem_at(&r, 0), ":513: more than 256 streams");
    conf_free(&r.conf);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clashing_endpoints), cmocka_unit_test(test_bound_twice),
        cmocka_unit_test(test_cpu_of_a_loop),      cmocka_unit_test(test_scheduling_is_read_back),
        cmocka_unit_test(test_far_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
