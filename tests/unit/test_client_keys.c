/* The C client and an encrypted publisher: frames come from the owner of the right key,
 * and from nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "client.h"
#include "net/curve.h"

#define WAIT_MS 30000 /* ends a test that would hang */

struct fixture {
    void *context, *publisher, *monitor;
    char endpoint[128], server_public[KEY_TEXT], own_public[KEY_TEXT], own_secret[KEY_TEXT];
};

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char secret[KEY_TEXT];
    struct key_pair pair;
    size_t n = sizeof f->endpoint;
    int wait_ms = WAIT_MS, no_linger = 0;

    zmq_curve_keypair(f->server_public, secret);
    zmq_curve_keypair(f->own_public, f->own_secret);
    zmq_z85_decode(pair.public, f->server_public);
    zmq_z85_decode(pair.secret, secret);
    f->context = zmq_ctx_new();
    f->publisher = zmq_socket(f->context, ZMQ_XPUB);
    zmq_setsockopt(f->publisher, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    zmq_setsockopt(f->publisher, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_socket_monitor(f->publisher, "inproc://monitor",
                       ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                           ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL);
    f->monitor = zmq_socket(f->context, ZMQ_PAIR);
    zmq_setsockopt(f->monitor, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    zmq_connect(f->monitor, "inproc://monitor");
    /* Without curve_serve's domain: there is no handler, and everybody may come. */
    assert_int_equal(zmq_setsockopt(f->publisher, ZMQ_CURVE_SECRETKEY, pair.secret, KEY_BYTES), 0);
    assert_int_equal(zmq_setsockopt(f->publisher, ZMQ_CURVE_SERVER, &(int){1}, sizeof(int)), 0);
    assert_int_equal(zmq_bind(f->publisher, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt(f->publisher, ZMQ_LAST_ENDPOINT, f->endpoint, &n);
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    zmq_socket_monitor(f->publisher, NULL, 0);
    zmq_close(f->monitor);
    zmq_close(f->publisher);
    zmq_ctx_term(f->context);
    free(f);
    return 0;
}

static void publish(struct fixture *f)
{
    const struct wire_frame frame = {.pub_seq = 7, .valid_for_ns = 1};
    uint8_t bytes[1024];
    size_t n = wire_pack_frame(&frame, bytes, sizeof bytes);

    assert_true(n > 0);
    zmq_send(f->publisher, "arm/frame", strlen("arm/frame"), ZMQ_SNDMORE);
    zmq_send(f->publisher, bytes, n, 0);
}

static void test_right_keys(void **state)
{
    struct fixture *f = *state;
    const struct latent_client_keys keys = {f->server_public, f->own_public, f->own_secret};
    struct latent_error err;
    struct wire_frame frame;
    latent_client *client;
    char subscription[64];

    assert_int_equal(latent_client_open_encrypted(&client, f->endpoint, "arm", &keys, &err), 0);
    for (int i = 0; i < 2; i++) /* to frame and info */
        assert_true(zmq_recv(f->publisher, subscription, sizeof subscription, 0) > 0);
    publish(f);
    assert_int_equal(latent_client_poll(client, WAIT_MS, &frame), 1);
    assert_int_equal(frame.pub_seq, 7);
    latent_client_close(client);
}

/* The publisher sees no handshake succeed, and the client no frame. */
static void check_nothing(struct fixture *f, const struct latent_client_keys *keys)
{
    struct latent_error err;
    struct wire_frame frame;
    latent_client *client;
    uint16_t event = 0;
    int status = keys ? latent_client_open_encrypted(&client, f->endpoint, "arm", keys, &err)
                      : latent_client_open(&client, f->endpoint, "arm", &err);

    assert_int_equal(status, 0);
    assert_true(zmq_recv(f->monitor, &event, sizeof event, 0) >= 0);
    assert_int_not_equal(event, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    publish(f);
    assert_int_equal(latent_client_poll(client, 50, &frame), 0);
    latent_client_close(client);
}

static void test_wrong_server(void **state)
{
    struct fixture *f = *state;
    const struct latent_client_keys keys = {f->own_public, f->own_public, f->own_secret};
    check_nothing(f, &keys);
}

static void test_no_keys(void **state)
{
    check_nothing(*state, NULL);
}

static void test_damaged_keys(void **state)
{
    struct fixture *f = *state;
    char shorter[KEY_TEXT], other[KEY_TEXT];
    const char *const bad[] = {"", shorter, other};
    struct latent_error err;
    latent_client *client;

    snprintf(shorter, sizeof shorter, "%.39s", f->own_secret);
    snprintf(other, sizeof other, "~%.39s", f->own_secret);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int at = 0; at < 3; at++) {
            const struct latent_client_keys keys = {at == 0 ? bad[i] : f->server_public,
                                                    at == 1 ? bad[i] : f->own_public,
                                                    at == 2 ? bad[i] : f->own_secret};

            assert_true(latent_client_open_encrypted(&client, f->endpoint, "arm", &keys, &err) < 0);
            assert_null(client);
            assert_non_null(strstr(err.text, "a key is damaged"));
            assert_null(strstr(err.text, "~"));
        }
}

/* An assertion that fails leaves sockets open, and the fixture would wait for them. */
int main(void)
{
    alarm(300);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_right_keys, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_wrong_server, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_no_keys, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_damaged_keys, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
