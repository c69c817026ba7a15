/* Keys and roles in the configuration: what is read, and what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/text.h"
#include "conf_fixture.h"

#define KEY "[latentd]\nsecret-key = d.key_secret\n"
#define CLIENT "[client rig]\npublic-key = rig.key\nroles = source\n"

static void test_read(void **state)
{
    struct read r;
    struct conf *c =
        read_text(&r, KEY STREAM CLIENT
                  "[client desk]\nroles = operator, consumer\npublic-key = /k/desk.key\n"
                  "[client wall]\nroles = monitor\npublic-key = w.key\n");
    (void)state;
    assert_int_equal(r.status, 0);
    assert_string_equal(c->daemon.secret_key, "d.key_secret");
    assert_int_equal(c->n_clients, 3);
    assert_string_equal(c->clients[0].name, "rig");
    assert_string_equal(c->clients[0].values.public_key, "rig.key");
    assert_int_equal(c->clients[0].values.roles, CONF_SOURCE);
    assert_int_equal(c->clients[1].values.roles, CONF_OPERATOR | CONF_CONSUMER);
    assert_int_equal(c->clients[2].values.roles, CONF_MONITOR);
    conf_free(&r.conf);
}

/* What is printed is read back to the same. */
static void test_print(void **state)
{
    struct read r, again;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    (void)state;
    read_text(&r, KEY STREAM "input-attach = connect\ninput-server-key = s.key\n"
                             "[client desk]\nroles = operator consumer\npublic-key = desk.key\n");
    assert_int_equal(r.status, 0);
    conf_print(&r.conf, out);
    fclose(out);
    assert_non_null(strstr(text, "secret-key = d.key_secret\n"));
    assert_non_null(strstr(text, "input-server-key = s.key\n"));
    assert_non_null(
        strstr(text, "[client desk]\npublic-key = desk.key\nroles = consumer operator\n"));
    read_text(&again, text);
    assert_int_equal(again.status, 0);
    assert_int_equal(again.conf.clients[0].values.roles, CONF_OPERATOR | CONF_CONSUMER);
    conf_free(&r.conf);
    conf_free(&again.conf);
    free(text);
}

static void test_bad_clients(void **state)
{
    (void)state;
    check_problem(KEY STREAM "[client rig]\npublic-key = r\nroles = sorce\n",
                  ":7: roles: 'sorce' is not known; allowed: source, consumer, "
                  "monitor, operator; nearest: source");
    check_problem(KEY STREAM "[client rig]\npublic-key = r\nroles =\n",
                  ":7: roles: is empty; allowed: several of source, consumer, monitor, operator");
    check_problem(KEY STREAM "[client rig]\npublic-key = r\n",
                  ":5: roles: missing in [client rig]");
    check_problem(KEY STREAM "[client rig]\nroles = source\n",
                  ":5: public-key: missing in [client rig]");
    check_problem(KEY STREAM "[client]\n",
                  ":5: '' is no name of a client; 1 to 32 letters, digits, - and _");
    check_problem(KEY STREAM CLIENT CLIENT, ":8: [client rig] is given twice (first in line 5)");
    check_problem(KEY STREAM "[client rig]\npublic-key = r\nroles = source\nbudget-ms = 1\n",
                  ":8: budget-ms: not a key of [client NAME]; see latentd --help-config");
    check_problem(KEY STREAM "[clients rig]\n",
                  ":5: [clients rig] is not known; allowed: [latentd], [stream NAME], "
                  "[client NAME]; nearest: client");
}

/* A role without encryption would look like a lock and be none. */
static void test_clients_without_key(void **state)
{
    (void)state;
    check_problem(STREAM CLIENT,
                  ":3: [client rig] means nothing without [latentd] secret-key: nothing "
                  "is encrypted, and whoever can connect may do everything");
}

static void test_too_many_clients(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    (void)state;
    fprintf(out, KEY STREAM);
    for (int i = 0; i <= CONF_MAX_CLIENTS; i++)
        fprintf(out, "[client c%d]\npublic-key = k\nroles = source\n", i);
    fclose(out);
    check_problem(text, ":773: more than 256 clients");
    free(text);
}

/* What is encrypted may be reached from anywhere; what is not must be asked for. */
static void test_addresses(void **state)
{
    (void)state;
    check_good("[latentd]\nsecret-key = k\ncontrol = tcp://*:3\n" STREAM
               "input = tcp://*:4\noutput = tcp://10.0.0.1:5\n");
    check_problem("[latentd]\ncontrol = tcp://*:3\n" STREAM,
                  ":2: control: tcp://*:3 can be reached from other machines, "
                  "unencrypted; use an address of 127.0.0.0/8 or ipc://, set [latentd] "
                  "secret-key, or set [latentd] plaintext = anywhere");
    check_problem(KEY STREAM "input = tcp://10.0.0.1:4\ninput-attach = connect\n",
                  ":5: input: tcp://10.0.0.1:4 can be reached from other machines, "
                  "unencrypted; use an address of 127.0.0.0/8 or ipc://, set "
                  "input-server-key, or set [latentd] plaintext = anywhere");
    check_good(KEY STREAM "input = tcp://10.0.0.1:4\ninput-attach = connect\n"
                          "input-server-key = s.key\n");
    check_good("[latentd]\nsecret-key = k\nplaintext = anywhere\n" STREAM
               "output = tcp://10.0.0.1:4\noutput-attach = connect\n");
}

static void test_server_keys(void **state)
{
    (void)state;
    check_problem(KEY STREAM "input-server-key = s.key\n",
                  ":5: input-server-key: is for input-attach = connect; who may connect "
                  "to a socket that is bound is said by [client NAME] sections");
    check_problem(STREAM "output = tcp://127.0.0.1:5\noutput-attach = connect\n"
                         "output-server-key = s.key\n",
                  ":5: output-server-key: needs [latentd] secret-key, the key that "
                  "latentd presents there");
    check_problem(KEY STREAM "input-attach = connect\ninput-server-key = a\n"
                             "[stream leg]\nmodel = n\ninput-attach = connect\n",
                  ":7: input-server-key: differs from [stream arm], which uses the same "
                  "socket; make them equal, or give the streams different endpoints");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_bad_clients),
        cmocka_unit_test(test_clients_without_key),
        cmocka_unit_test(test_too_many_clients),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_server_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
