/* The handler of keys, asked directly: who is let in where, requests that no libzmq
 * sends, and its failure, after which nobody may be let in. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "latentd/zap.h"
#include "net/curve.h"

#define WAIT_MS 30000      /* ends a test that would hang */
#define HANDSHAKE_MS 10000 /* a handler that ends in the middle of one never answers */
#define N_REQUEST 7
#define N_REPLY 6

struct fixture {
    void *context, *asker;
    struct access access;
    struct access_clients *clients;           /* the access's */
    struct key_pair server_keys, client_keys; /* real ones; the others are invented */
    struct zap zap;
};

static volatile sig_atomic_t n_terms;

static void on_term(int number)
{
    (void)number;
    n_terms++;
}

/* letter 0: the key is the caller's. */
static struct access_client *add_client(struct access_clients *clients, const char *name,
                                        uint32_t roles, const uint8_t *key, char letter)
{
    struct access_client *c = &clients->client[clients->n++];

    *c = (struct access_client){.roles = roles};
    snprintf(c->name, sizeof c->name, "%s", name);
    if (letter)
        memset(c->key, letter, KEY_BYTES);
    else
        memcpy(c->key, key, KEY_BYTES);
    key_text(c->key, c->user);
    return c;
}

static struct access_clients *clients_new(void)
{
    struct access_clients *clients = calloc(1, sizeof *clients + 4 * sizeof clients->client[0]);

    assert_non_null(clients);
    return clients;
}

static void make_pair(struct key_pair *pair)
{
    char public[KEY_TEXT], secret[KEY_TEXT];

    assert_int_equal(zmq_curve_keypair(public, secret), 0);
    assert_non_null(zmq_z85_decode(pair->public, public));
    assert_non_null(zmq_z85_decode(pair->secret, secret));
}

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct latent_error err;
    int wait_ms = WAIT_MS, no_linger = 0;

    signal(SIGTERM, on_term);
    n_terms = 0;
    f->clients = clients_new();
    add_client(f->clients, "rig", CONF_SOURCE, NULL, 'r');
    add_client(f->clients, "screen", CONF_MONITOR, NULL, 's');
    add_client(f->clients, "desk", CONF_OPERATOR | CONF_CONSUMER, NULL, 'd');
    make_pair(&f->server_keys);
    make_pair(&f->client_keys);
    add_client(f->clients, "real", CONF_SOURCE, f->client_keys.public, 0);
    access_replace(&f->access, f->clients);
    f->access.encrypts = true;
    f->context = zmq_ctx_new();
    assert_int_equal(zap_open(&f->zap, f->context, &f->access, &err), 0);
    f->asker = zmq_socket(f->context, ZMQ_REQ);
    zmq_setsockopt(f->asker, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    zmq_setsockopt(f->asker, ZMQ_LINGER, &no_linger, sizeof no_linger);
    assert_int_equal(zmq_connect(f->asker, "inproc://zeromq.zap.01"), 0);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    zmq_close(f->asker);
    zap_close(&f->zap);
    zmq_ctx_term(f->context);
    access_close(&f->access);
    free(f);
    return 0;
}

struct part {
    const void *bytes;
    size_t n;
};

#define TEXT(t)            \
    {                      \
        (t), sizeof(t) - 1 \
    }

/* Status and user id of the answer. */
static void ask(struct fixture *f, const struct part *parts, size_t n, char status[4],
                char user[64])
{
    for (size_t i = 0; i < n; i++)
        assert_true(zmq_send(f->asker, parts[i].bytes, parts[i].n, i + 1 < n ? ZMQ_SNDMORE : 0) >=
                    0);
    for (size_t i = 0; i < N_REPLY; i++) {
        char bytes[64] = "";
        int more = 0, got = zmq_recv(f->asker, bytes, sizeof bytes - 1, 0);
        size_t n_more = sizeof more;

        assert_in_range(got, 0, sizeof bytes - 1);
        if (i == 0) assert_string_equal(bytes, "1.0");
        if (i == 2) snprintf(status, 4, "%.3s", bytes);
        if (i == 4) snprintf(user, 64, "%s", bytes);
        zmq_getsockopt(f->asker, ZMQ_RCVMORE, &more, &n_more);
        assert_int_equal(more, i + 1 < N_REPLY);
    }
}

/* As libzmq asks, for a key of 32 times this letter. */
static void ask_for(struct fixture *f, const char *door, char letter, char status[4], char user[64])
{
    char key[KEY_BYTES];
    const struct part parts[N_REQUEST] = {TEXT("1.0"),       TEXT("1"), {door, strlen(door)},
                                          TEXT("127.0.0.1"), TEXT(""),  TEXT("CURVE"),
                                          {key, sizeof key}};

    memset(key, letter, sizeof key);
    ask(f, parts, N_REQUEST, status, user);
}

/* Every key at every door. */
static void test_roles(void **state)
{
    static const struct {
        char letter;
        const char *door;
        bool is_let_in;
    } rows[] = {{'r', "input", true},   {'r', "output", false}, {'r', "control", false},
                {'s', "input", false},  {'s', "output", true},  {'s', "control", true},
                {'d', "input", false},  {'d', "output", true},  {'d', "control", true},
                {'x', "input", false},  {'x', "output", false}, {'x', "control", false},
                {'r', "inputs", false}, {'r', "", false},       {'d', "Output", false}};
    struct fixture *f = *state;
    char status[4], user[64], key[KEY_TEXT];
    uint8_t bytes[KEY_BYTES];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask_for(f, rows[i].door, rows[i].letter, status, user);
        memset(bytes, rows[i].letter, sizeof bytes);
        key_text(bytes, key);
        assert_string_equal(status, rows[i].is_let_in ? "200" : "400");
        assert_string_equal(user, rows[i].is_let_in ? key : "");
    }
    assert_int_equal(atomic_load(&f->access.n_accepted[ACCESS_INPUT]), 1);
    assert_int_equal(atomic_load(&f->access.n_refused[ACCESS_INPUT]), 3);
    assert_int_equal(atomic_load(&f->access.n_accepted[ACCESS_OUTPUT]), 2);
    assert_int_equal(atomic_load(&f->access.n_refused[ACCESS_OUTPUT]), 2);
    assert_int_equal(atomic_load(&f->access.n_accepted[ACCESS_CONTROL]), 2);
    assert_int_equal(atomic_load(&f->access.n_refused[ACCESS_CONTROL]), 2);
    assert_int_equal(n_terms, 0);
}

/* Other clients come into force: a name with another key is somebody else, one that lost a role
 * comes in by the doors that are left. */
static void test_replaced(void **state)
{
    struct access_clients *others = clients_new();
    struct fixture *f = *state;
    char status[4], user[64], rig[64];

    ask_for(f, "input", 'r', status, rig);
    assert_string_equal(access_find_user(&f->access, rig)->name, "rig");
    assert_null(access_find_user(&f->access, "rig")); /* a name is no key */
    assert_null(access_find_user(&f->access, NULL));
    add_client(others, "rig", CONF_SOURCE, NULL, 'R');
    add_client(others, "screen", CONF_SOURCE | CONF_CONSUMER, NULL, 's');
    add_client(others, "desk", CONF_OPERATOR, NULL, 'd');
    assert_true(access_is_narrower(f->clients, others, ACCESS_INPUT));
    assert_true(access_is_narrower(f->clients, others, ACCESS_OUTPUT));
    assert_true(access_is_narrower(f->clients, others, ACCESS_CONTROL));
    assert_false(access_is_narrower(f->clients, f->clients, ACCESS_OUTPUT));
    access_replace(&f->access, others);
    assert_null(access_find_user(&f->access, rig));
    ask_for(f, "input", 'r', status, user);
    assert_string_equal(status, "400");
    ask_for(f, "input", 'R', status, user);
    assert_string_equal(status, "200");
    assert_string_equal(access_find_user(&f->access, user)->name, "rig");
    ask_for(f, "control", 's', status, user);
    assert_string_equal(status, "400");
    ask_for(f, "output", 's', status, user);
    assert_string_equal(status, "200");
    ask_for(f, "output", 'd', status, user);
    assert_string_equal(status, "400");
}

/* A key that begins or ends like one that is known is another key. */
static void test_near_keys(void **state)
{
    struct fixture *f = *state;
    char status[4], user[64], key[KEY_BYTES];
    struct part parts[N_REQUEST] = {TEXT("1.0"), TEXT("1"),     TEXT("input"),    TEXT("127.0.0.1"),
                                    TEXT(""),    TEXT("CURVE"), {key, sizeof key}};

    for (size_t i = 0; i < KEY_BYTES; i++) {
        memset(key, 'r', sizeof key);
        key[i] ^= 1;
        ask(f, parts, N_REQUEST, status, user);
        assert_string_equal(status, "400");
    }
}

static void test_bad_requests(void **state)
{
    struct fixture *f = *state;
    char status[4], user[64], key[KEY_BYTES], longer[1000] = {0};
    const struct part good[N_REQUEST + 1] = {TEXT("1.0"),       TEXT("1"), TEXT("input"),
                                             TEXT("127.0.0.1"), TEXT(""),  TEXT("CURVE"),
                                             {key, sizeof key}, TEXT("x")};
    const struct {
        size_t at;
        struct part with;
    } changes[] = {{0, TEXT("1.1")},
                   {0, TEXT("")},
                   {2, {longer, sizeof longer}},
                   {5, TEXT("PLAIN")},
                   {5, TEXT("NULL")},
                   {6, {key, 31}},
                   {6, TEXT("")},
                   {6, {longer, sizeof longer}},
                   {4, {longer, sizeof longer}}};

    memset(key, 'r', sizeof key);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct part parts[N_REQUEST];
        memcpy(parts, good, sizeof parts);
        parts[changes[i].at] = changes[i].with;
        ask(f, parts, N_REQUEST, status, user);
        assert_string_equal(status, "400");
    }
    for (size_t n = 1; n < N_REQUEST; n++) {
        ask(f, good, n, status, user);
        assert_string_equal(status, "400");
    }
    ask(f, good, N_REQUEST + 1, status, user);
    assert_string_equal(status, "400");
    ask(f, good, N_REQUEST, status, user);
    assert_string_equal(status, "200");
}

/* A real CURVE server of the same context, and a client of another, whose key has the
 * role of a source. */
static bool is_let_in(struct fixture *f, void *clients, const char *door)
{
    void *server = zmq_socket(f->context, ZMQ_PULL), *client = zmq_socket(clients, ZMQ_PUSH),
         *monitor = zmq_socket(clients, ZMQ_PAIR);
    char endpoint[128], watched[64];
    size_t n = sizeof endpoint;
    int wait_ms = WAIT_MS, handshake_ms = HANDSHAKE_MS, no_linger = 0;
    uint16_t event = 0;

    /* One address each: libzmq frees that of a closed monitor some time later. */
    snprintf(watched, sizeof watched, "inproc://monitor-%s", door);
    zmq_setsockopt(server, ZMQ_HANDSHAKE_IVL, &handshake_ms, sizeof handshake_ms);
    assert_int_equal(curve_serve(server, &f->server_keys, door), 0);
    assert_int_equal(zmq_bind(server, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, endpoint, &n);
    assert_int_equal(curve_connect(client, &f->client_keys, f->server_keys.public), 0);
    zmq_setsockopt(client, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_setsockopt(server, ZMQ_LINGER, &no_linger, sizeof no_linger);
    assert_int_equal(zmq_socket_monitor(client, watched,
                                        ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                                            ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                            ZMQ_EVENT_DISCONNECTED),
                     0);
    zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    assert_int_equal(zmq_connect(monitor, watched), 0);
    assert_int_equal(zmq_connect(client, endpoint), 0);
    assert_true(zmq_recv(monitor, &event, sizeof event, 0) >= 0);
    zmq_socket_monitor(client, NULL, 0);
    zmq_close(monitor);
    zmq_close(client);
    zmq_close(server);
    return event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
}

static void test_real_handshake(void **state)
{
    struct fixture *f = *state;
    void *clients = zmq_ctx_new();

    assert_true(is_let_in(f, clients, "input"));
    assert_false(is_let_in(f, clients, "control"));
    zmq_ctx_term(clients);
}

/* Nobody, not everybody, where libzmq knows the option. */
static void test_no_handler(void **state)
{
    struct fixture *f = *state;
    void *clients = zmq_ctx_new();

    zap_close(&f->zap);
    assert_false(is_let_in(f, clients, "input"));
    zmq_ctx_term(clients);
}

/* When its socket cannot be used any more, the process is asked to end; and the reason
 * is kept for its exit code. */
static void test_failure(void **state)
{
    struct fixture *f = *state;

    zmq_ctx_shutdown(f->context);
    pthread_join(f->zap.thread, NULL);
    f->zap.is_running = false;
    assert_true(atomic_load(&f->access.handler_failed));
    assert_int_equal(n_terms, 1);
}

/* An assertion that fails leaves sockets open, and the fixture would wait for them. */
int main(void)
{
    alarm(300);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_roles, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_replaced, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_near_keys, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_bad_requests, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_real_handshake, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_no_handler, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_failure, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
