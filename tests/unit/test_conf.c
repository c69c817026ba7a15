/* The configuration: defaults, values, and the texts that are made from its table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/words.h"
#include "conf/text.h"
#include "conf_fixture.h"
#include "latent.h"

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
    assert_int_equal(s->on_gap, CONF_AUTO);
    assert_int_equal(s->on_late, ON_LATE_PUBLISH);
    assert_int_equal(s->on_missing, ON_MISSING_HOLD_FRAME);
    assert_int_equal(s->missing_after_ns, 0);
    assert_int_equal(s->lease_ns, 0);
    assert_int_equal(s->max_age_ns, 0);
    assert_int_equal(s->publish_late, 0);
    assert_int_equal(s->safe_ramp_ns, 100000000);
    assert_int_equal(s->safe_exit, 10);
    assert_int_equal(s->admission, CONF_ADMISSION_WARN);
    assert_int_equal(s->max_gap_ns, 500000000);
    assert_int_equal(s->reorder_window, 16);
    assert_string_equal(s->loop, "0");
    conf_free(&r.conf);
}

static void test_values(void **state)
{
    struct read r;
    const struct conf *c =
        read_text(&r, "\xEF\xBB\xBF# comment\r\n[latentd]\r\nlock-memory = no ; because\r\n\n"
                      "  [stream a-B_9]  # arm\n\tmodel: x = y#1.st\n; comment\nmode=A\n"
                      "outputs = readout,latents\nbudget-ms = 0.25\nvalid-for-ms=100\n"
                      "on-gap = reset\nreorder-window = 1024\nloop = fast\n"
                      "on-late = skip # as agreed; so\non-missing = safe\t#\nmissing-after-ms = 7\n"
                      "lease-ms = 90\nsafe-ramp-ms = none\nsafe-exit = operator\n"
                      "max-age-ms = 3\npublish-late = yes\nadmission = refuse\n"
                      "input = ipc:///tmp/a b\ninput-socket = pull\ninput-attach = connect");
    const struct conf_stream *s = &c->streams[0].values;
    (void)state;
    assert_int_equal(r.status, 0);
    assert_int_equal(c->daemon.lock_memory, 0);
    assert_string_equal(c->streams[0].name, "a-B_9");
    assert_string_equal(s->model, "x = y#1.st");
    assert_string_equal(s->mode, "A");
    assert_int_equal(s->outputs, LATENT_GROUP_READOUT | LATENT_GROUP_LATENTS);
    assert_int_equal(s->budget_ns, 250000);
    assert_int_equal(s->valid_for_ns, 100000000);
    assert_int_equal(s->on_gap, ON_GAP_RESET);
    assert_int_equal(s->on_late, ON_LATE_SKIP);
    assert_int_equal(s->on_missing, ON_MISSING_SAFE);
    assert_int_equal(s->missing_after_ns, 7000000);
    assert_int_equal(s->lease_ns, 90000000);
    assert_int_equal(s->safe_ramp_ns, 0);
    assert_int_equal(s->safe_exit, 0);
    assert_int_equal(s->max_age_ns, 3000000);
    assert_int_equal(s->publish_late, 1);
    assert_int_equal(s->admission, CONF_ADMISSION_REFUSE);
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
    conf_resolve(&s, 20000, 1);
    assert_int_equal(s.budget_ns, 5000000);
    assert_int_equal(s.valid_for_ns, 80000000);
    assert_int_equal(s.missing_after_ns, 60000000);
    assert_int_equal(s.max_age_ns, 40000000);
    assert_int_equal(s.lease_ns, 200000000);
    s = (struct conf_stream){0};
    conf_resolve(&s, 1000, 1);
    assert_int_equal(s.budget_ns, 500000);
    assert_int_equal(s.valid_for_ns, 50000000);
    assert_int_equal(s.missing_after_ns, 20000000);
    assert_int_equal(s.max_age_ns, 20000000);
    s = (struct conf_stream){.safe_ramp_ns = 100000000};
    conf_resolve(&s, 50000, 1);
    assert_int_equal(s.lease_ns, 200000000);
    s = (struct conf_stream){.safe_ramp_ns = 100000000};
    conf_resolve(&s, 100000, 1);
    assert_int_equal(s.lease_ns, 400000000);
    s = (struct conf_stream){.missing_after_ns = 3600000000000};
    conf_resolve(&s, 1000, 1);
    assert_int_equal(s.valid_for_ns, 3600000000000); /* the longest time there is */
    s = (struct conf_stream){0};
    conf_resolve(&s, 20000, 4); /* values every fourth bin */
    assert_int_equal(s.valid_for_ns, 140000000);
    conf_resolve(&given, 1000, 1);
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
    char *path = conf_path_of(&c, s.model);
    (void)state;
    assert_string_equal(path, "/etc/latentd/m.st");
    free(path);
    s.model = (char *)(uintptr_t) "/a/m.st";
    path = conf_path_of(&c, s.model);
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
    char *help = print_to_memory(conf_print_help), *man = print_to_memory(conf_print_man);
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
        bool is_key = line[0] == '#' && line[1] != ' ' && strpbrk(line, "=[");
        n_keys += is_key;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", line + is_key);
        assert_true(used < sizeof text);
    }
    fclose(file);
    read_text(&r, text);
    for (size_t i = 0; i < r.conf.n_problems; i++) fail_msg("%s", problem_at(&r, i));
    assert_int_equal(r.conf.n_clients, 1);
    for (enum conf_section s = 0; s < CONF_N_SECTIONS; s++) {
        const unsigned *lines[] = {[CONF_DAEMON] = r.conf.daemon_lines.key,
                                   [CONF_STREAM] = r.conf.streams[0].lines.key,
                                   [CONF_CLIENT] = r.conf.clients[0].lines.key};
        for (const struct conf_key *key = conf_keys(s); key->name; key++)
            if (!lines[s][key - conf_keys(s)]) fail_msg("the example lacks %s", key->name);
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
        cmocka_unit_test(test_help_and_manual_have_every_key),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
