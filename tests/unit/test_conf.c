/* The configuration: defaults, values, and for each mistake the exact text with line,
 * key, what is allowed and the nearest known word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/nearest.h"
#include "conf/text.h"
#include "conf/types.h"
#include "latent.h"

#define STREAM "[stream arm]\nmodel = m.safetensors\n"

/* A configuration read from text; problems have the file's name cut off. */
struct read {
    struct conf conf;
    char path[64];
    int status;
};

static void read_bytes(struct read *r, const char *text, size_t n)
{
    int fd;
    snprintf(r->path, sizeof r->path, "/tmp/latent-conf-XXXXXX");
    fd = mkstemp(r->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
    r->status = conf_read(&r->conf, r->path);
    unlink(r->path);
}

static struct conf *read_text(struct read *r, const char *text)
{
    read_bytes(r, text, strlen(text));
    return &r->conf;
}

static const char *problem_at(const struct read *r, size_t i)
{
    size_t n = strlen(r->path);
    assert_true(i < r->conf.n_problems);
    assert_int_equal(strncmp(r->conf.problems[i], r->path, n), 0);
    return r->conf.problems[i] + n;
}

/* The text has exactly this one mistake. */
static void check_problem(const char *text, const char *expected)
{
    struct read r;
    read_text(&r, text);
    assert_int_equal(r.status, -1);
    assert_string_equal(problem_at(&r, 0), expected);
    assert_int_equal(r.conf.n_problems, 1);
    conf_free(&r.conf);
}

/* ---- what is read ---- */

static void test_defaults(void **state)
{
    struct read r;
    const struct conf *c = read_text(&r, STREAM);
    const struct conf_stream *s;
    (void)state;
    assert_int_equal(r.status, 0);
    assert_string_equal(c->daemon.control, "ipc:///run/latentd/control");
    assert_int_equal(c->daemon.lock_memory, 1);
    assert_int_equal(c->n_streams, 1);
    assert_string_equal(c->streams[0].name, "arm");
    s = &c->streams[0].values;
    assert_string_equal(s->model, "m.safetensors");
    assert_null(s->mode);
    assert_string_equal(s->input, "tcp://127.0.0.1:5570");
    assert_string_equal(s->output, "tcp://127.0.0.1:5571");
    assert_int_equal(s->input_socket, CONF_SUB);
    assert_int_equal(s->input_attach, CONF_BIND);
    assert_int_equal(s->outputs, 0);
    assert_int_equal(s->budget_ns, 0);
    assert_int_equal(s->on_gap, CONF_GAP_PREDICT);
    assert_int_equal(s->max_gap_ns, 500000000);
    assert_int_equal(s->reorder_window, 16);
    assert_string_equal(s->loop, "0");
    conf_free(&r.conf);
}

static void test_values(void **state)
{
    struct read r;
    const struct conf *c = read_text(
        &r, "\xEF\xBB\xBF# comment\r\n[latentd]\r\nlock-memory = no ; because\r\n\n"
            "  [stream a-B_9]  # arm\n\tmodel: x = y.st\n; comment\nmode=A\n"
            "outputs = readout,latents\nbudget-ms = 0.25\nvalid-for-ms=1e2\n"
            "on-gap = reset\nreorder-window = 1024\nloop = fast\n"
            "input = ipc:///tmp/a b\ninput-socket = pull\ninput-attach = connect");
    const struct conf_stream *s = &c->streams[0].values;
    (void)state;
    assert_int_equal(r.status, 0);
    assert_int_equal(c->daemon.lock_memory, 0);
    assert_string_equal(c->streams[0].name, "a-B_9");
    assert_string_equal(s->model, "x = y.st");
    assert_string_equal(s->mode, "A");
    assert_int_equal(s->outputs, LATENT_GROUP_READOUT | LATENT_GROUP_LATENTS);
    assert_int_equal(s->budget_ns, 250000);
    assert_int_equal(s->valid_for_ns, 100000000);
    assert_int_equal(s->on_gap, CONF_GAP_RESET);
    assert_int_equal(s->reorder_window, 1024);
    assert_string_equal(s->loop, "fast");
    assert_string_equal(s->input, "ipc:///tmp/a b");
    assert_int_equal(s->input_socket, CONF_PULL);
    assert_int_equal(s->input_attach, CONF_CONNECT);
    conf_free(&r.conf);
}

static void test_resolve(void **state)
{
    struct conf_stream s = {0}, given = {.budget_ns = 1, .valid_for_ns = 2};
    (void)state;
    conf_resolve(&s, 20000);
    assert_int_equal(s.budget_ns, 5000000);
    assert_int_equal(s.valid_for_ns, 60000000);
    s = (struct conf_stream){0};
    conf_resolve(&s, 1000);
    assert_int_equal(s.budget_ns, 500000);
    assert_int_equal(s.valid_for_ns, 50000000);
    conf_resolve(&given, 1000);
    assert_int_equal(given.budget_ns, 1);
    assert_int_equal(given.valid_for_ns, 2);
    assert_int_equal(conf_bins(500000000, 20000), 25);
    assert_int_equal(conf_bins(59999999, 20000), 2); /* floor */
    assert_int_equal(conf_bins(1, 20000), 1);        /* at least 1 */
}

static void test_model_path(void **state)
{
    struct conf c = {.folder = (char *)(uintptr_t) "/etc/latentd"};
    struct conf_stream s = {.model = (char *)(uintptr_t) "m.st"};
    char *path = conf_model_path(&c, &s);
    (void)state;
    assert_string_equal(path, "/etc/latentd/m.st");
    free(path);
    s.model = (char *)(uintptr_t) "/a/m.st";
    path = conf_model_path(&c, &s);
    assert_string_equal(path, "/a/m.st");
    free(path);
}

/* What is printed is read back as the same. */
static void test_print_is_readable(void **state)
{
    const char *text = "[latentd]\nlock-memory = no\nplaintext = anywhere\n" STREAM
                       "mode = C\noutputs = rates\nbudget-ms = 1.5\ninput = tcp://*:9\n"
                       "on-gap = reset\n[stream leg]\nmodel = n\n";
    char *first = NULL, *second = NULL;
    size_t n;
    struct read r;
    FILE *out;
    (void)state;
    read_text(&r, text);
    assert_int_equal(r.status, 0);
    out = open_memstream(&first, &n);
    conf_print(&r.conf, out);
    fclose(out);
    conf_free(&r.conf);
    read_text(&r, first);
    assert_int_equal(r.status, 0);
    out = open_memstream(&second, &n);
    conf_print(&r.conf, out);
    fclose(out);
    conf_free(&r.conf);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "budget-ms = 1.5\n"));
    assert_non_null(strstr(first, "valid-for-ms = auto\n"));
    free(first);
    free(second);
}

/* ---- mistakes ---- */

static void test_unknown_names(void **state)
{
    (void)state;
    check_problem(STREAM "buget-ms = 1\n",
                  ":3: buget-ms: not a key of [stream NAME]; nearest: budget-ms");
    check_problem("[latentd]\ncontroll = x\n" STREAM,
                  ":2: controll: not a key of [latentd]; nearest: control");
    check_problem(STREAM "\n\nzzzzzzzz = 1\n",
                  ":5: zzzzzzzz: not a key of [stream NAME]; "
                  "see latentd --help-config");
    check_problem("[lantentd]\nx = 1\n" STREAM,
                  ":1: [lantentd] is not known; allowed: [latentd], [stream NAME]; "
                  "nearest: latentd");
    check_problem("[streem arm]\n" STREAM,
                  ":1: [streem arm] is not known; allowed: [latentd], [stream NAME]; "
                  "nearest: stream");
}

static void test_policies(void **state)
{
    static const char *const later_on_gap[] = {"zero", "hold-input", "mean"};
    static const char *const later_on_late[] = {"hold-frame", "skip", "safe"};
    char text[256], expected[256];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof text, STREAM "on-gap = %s\n", later_on_gap[i]);
        snprintf(expected, sizeof expected,
                 ":3: on-gap: '%s' is not in this version; allowed: predict, reset",
                 later_on_gap[i]);
        check_problem(text, expected);
        snprintf(text, sizeof text, STREAM "on-late = %s\n", later_on_late[i]);
        snprintf(expected, sizeof expected,
                 ":3: on-late: '%s' is not in this version; allowed: publish",
                 later_on_late[i]);
        check_problem(text, expected);
    }
    check_problem(
        STREAM "on-gap = predikt\n",
        ":3: on-gap: 'predikt' is not known; allowed: predict, reset; nearest: "
        "predict");
    check_problem(STREAM "on-late = hold_frame\n",
                  ":3: on-late: 'hold_frame' is not known; allowed: publish; nearest: "
                  "hold-frame (not in this version)");
}

static void test_later_keys(void **state)
{
    static const char *const keys[] = {
        "missing-after-ms", "on-missing",   "lease-ms",  "max-age-ms",
        "publish-late",     "safe-ramp-ms", "safe-exit", "admission"};
    char text[256], expected[256];
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(text, sizeof text, STREAM "%s = 1\n", keys[i]);
        snprintf(expected, sizeof expected, ":3: %s: not in this version of latentd",
                 keys[i]);
        check_problem(text, expected);
    }
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
        ":3: budget-ms: 'nan' is no time; allowed: auto, or milliseconds from "
        "0.001 to 3600000");
    check_problem(
        STREAM "max-gap-ms = 5 s\n",
        ":3: max-gap-ms: '5 s' is no time; allowed: milliseconds from 0.001 to "
        "3600000");
    check_problem(STREAM "reorder-window = 1025\n",
                  ":3: reorder-window: '1025' is no such number; allowed: 1 to 1024");
    check_problem(STREAM "reorder-window = 1x\n",
                  ":3: reorder-window: '1x' is no such number; allowed: 1 to 1024");
    check_problem(STREAM "outputs = latents rate\n",
                  ":3: outputs: 'rate' is not known; allowed: latents, rates, readout; "
                  "nearest: rates");
    check_problem(STREAM "outputs = ,\n",
                  ":3: outputs: is empty; allowed: all, or several of latents, rates, "
                  "readout");
    check_problem(STREAM "mode =\n", ":3: mode: is empty; write NAME");
    check_problem(
        STREAM "loop = a/b\n",
        ":3: loop: 'a/b' is no name of a loop; up to 10 letters, digits, - and _");
    check_problem(
        STREAM "input = inproc://x\n",
        ":3: input: 'inproc://x' is no endpoint; allowed: tcp://HOST:PORT (PORT 0 "
        "to 65535 or *), ipc://PATH (at most 107 bytes)");
    check_problem(
        STREAM "input = tcp://127.0.0.1:65536\n",
        ":3: input: 'tcp://127.0.0.1:65536' is no endpoint; allowed: "
        "tcp://HOST:PORT (PORT 0 to 65535 or *), ipc://PATH (at most 107 bytes)");
}

static void test_lines(void **state)
{
    char text[2048], expected[64];
    (void)state;
    check_problem("a = 1\n" STREAM, ":1: a: stands before any section heading");
    check_problem(STREAM "what is this\n",
                  ":3: 'what is this' is neither [section] nor key = value");
    check_problem(STREAM "word ; = comment\n",
                  ":3: 'word ; = comment' is neither [section] nor key = value");
    check_problem(STREAM "= 3\n", ":3: '= 3' is neither [section] nor key = value");
    check_problem(STREAM "[stream leg\nmodel = x\n",
                  ":3: '[stream leg' is no heading; write [NAME] alone");
    check_problem(STREAM "mode = A\nmode = C\n",
                  ":4: mode: given twice (first in line 3)");
    check_problem(STREAM STREAM, ":3: [stream arm] is given twice (first in line 1)");
    check_problem("[latentd]\n[latentd]\n" STREAM,
                  ":2: [latentd] is given twice (first in line 1)");
    memset(text, 'x', sizeof text);
    memcpy(text, STREAM "mode = ", strlen(STREAM "mode = "));
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
                  ":3: '' is no name of a stream; 1 to 32 letters, "
                  "digits, - and _");
    check_problem(STREAM "[stream a/b]\n", ":3: 'a/b' is no name of a stream; 1 to 32 "
                                           "letters, digits, - and _");
    check_problem(
        STREAM "[stream abcdefghijklmnopqrstuvwxyz0123456]\n",
        ":3: 'abcdefghijklmnopqrstuvwxyz0123456' is no name of a stream; 1 to 32 "
        "letters, digits, - and _");
}

static void test_whole_file(void **state)
{
    struct conf c;
    (void)state;
    check_problem("", ": no stream; add a section [stream NAME] with a model");
    check_problem("[stream arm]\n",
                  ":1: model: missing in [stream arm]; write the path of "
                  "a model file");
    assert_int_equal(conf_read(&c, "/nowhere/x.conf"), -1);
    assert_string_equal(c.problems[0],
                        "/nowhere/x.conf: cannot open: No such file or directory");
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
    check_problem(text,
                  ":5: input-socket: differs from [stream arm], which uses the same "
                  "socket; make them equal, or give the streams different endpoints");
    snprintf(text, sizeof text, "%sloop = 1\n", two);
    check_problem(text,
                  ":5: loop: differs from [stream arm], which uses the same socket; "
                  "make them equal, or give the streams different endpoints");
    snprintf(text, sizeof text, "%sloop = 1\ninput = ipc:///a\noutput = ipc:///b\n",
             two);
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
        snprintf(text, sizeof text,
                 "[latentd]\nplaintext = anywhere\n" STREAM "output = %s\n", remote[i]);
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
                  "budget-ms = 0\nno-such-key = 1\njunk\non-gap = zero\n");
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

/* ---- texts made from the table ---- */

static char *print_to_memory(void (*print)(FILE *))
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    print(out);
    fclose(out);
    return text;
}

static void test_help_and_manual_have_every_key(void **state)
{
    char *help = print_to_memory(conf_print_help),
         *man = print_to_memory(conf_print_man);
    (void)state;
    for (enum conf_section s = 0; s < CONF_N_SECTIONS; s++) {
        for (const struct conf_key *key = conf_keys(s); key->name; key++) {
            char in_help[64], in_man[64];
            size_t n = 0;
            snprintf(in_help, sizeof in_help, "\n  %s = ", key->name);
            assert_non_null(strstr(help, in_help));
            for (const char *c = key->name; *c; c++) {
                if (*c == '-') in_man[n++] = '\\';
                in_man[n++] = *c;
            }
            in_man[n] = '\0';
            assert_non_null(strstr(man, in_man));
        }
    }
    free(help);
    free(man);
}

/* The commented example names every key of the table, and no other: uncommented, it is
 * read. */
static void test_example(void **state)
{
    const char *root = getenv("LATENT_SOURCE");
    char path[1024], line[1200], text[16384] = "";
    size_t used = 0, n_keys = 0;
    struct read r;
    FILE *file;
    (void)state;
    snprintf(path, sizeof path, "%s/systemd/latentd.conf", root ? root : ".");
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        bool is_key = strncmp(line, "#", 1) == 0 && line[1] != ' ' && strchr(line, '=');
        n_keys += is_key;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", line + is_key);
        assert_true(used < sizeof text);
    }
    fclose(file);
    read_text(&r, text);
    for (size_t i = 0; i < r.conf.n_problems; i++) fail_msg("%s", problem_at(&r, i));
    for (enum conf_section s = 0; s < CONF_N_SECTIONS; s++) {
        const unsigned *lines =
            s == CONF_DAEMON ? r.conf.daemon_lines.key : r.conf.streams[0].lines.key;
        for (const struct conf_key *key = conf_keys(s); key->name; key++)
            if (!lines[key - conf_keys(s)]) fail_msg("the example lacks %s", key->name);
    }
    assert_true(n_keys > 0);
    conf_free(&r.conf);
}

static void test_distance(void **state)
{
    (void)state;
    assert_int_equal(word_distance("", "abc"), 3);
    assert_int_equal(word_distance("abc", ""), 3);
    assert_int_equal(word_distance("kitten", "sitting"), 3);
    assert_int_equal(word_distance("same", "same"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_model_path),
        cmocka_unit_test(test_print_is_readable),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_later_keys),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_traps_of_libinih),
        cmocka_unit_test(test_zero_byte),
        cmocka_unit_test(test_stream_names),
        cmocka_unit_test(test_whole_file),
        cmocka_unit_test(test_sections_that_do_not_fit),
        cmocka_unit_test(test_plaintext),
        cmocka_unit_test(test_every_mistake),
        cmocka_unit_test(test_help_and_manual_have_every_key),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
