/* The publisher's thread apart from the subscribers, and what subscribers may send: real sockets,
 * no daemon. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <zmq.h>

#include "net/peers.h"
#include "net/sink.h"

#define WAIT_MS 30000 /* ends a test that would hang */
#define N_FRAMES 400  /* fewer than any queue holds */

struct fixture {
    void *context, *consumers; /* ZeroMQ contexts: of the sink alone, of those who listen */
    struct sink sink;
    char endpoint[SOCKET_MAX_ENDPOINT];
    unsigned port;
    void *consumer;
    uint64_t n_cut_before;
};

/* ---- those who listen ---- */

static void *open_consumer(struct fixture *f)
{
    const int wait_ms = WAIT_MS, no_linger = 0, no_mark = 0;
    void *socket = zmq_socket(f->consumers, ZMQ_SUB);

    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    zmq_setsockopt(socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &no_mark, sizeof no_mark);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "arm/", 4);
    assert_int_equal(zmq_connect(socket, f->endpoint), 0);
    return socket;
}

/* Number of the next frame that comes. */
static unsigned receive(void *consumer)
{
    char topic[16];
    unsigned number = 0;

    assert_int_equal(zmq_recv(consumer, topic, sizeof topic, 0), strlen("arm/frame"));
    assert_int_equal(zmq_recv(consumer, &number, sizeof number, 0), sizeof number);
    return number;
}

static void publish(struct fixture *f, unsigned number)
{
    assert_int_equal(sink_send(&f->sink, "arm/frame", &number, sizeof number), 0);
}

/* Until the consumer is heard: frames 0. */
static void wait_to_be_heard(struct fixture *f, void *consumer)
{
    zmq_pollitem_t item = {.socket = consumer, .events = ZMQ_POLLIN};

    for (int waited_ms = 0; waited_ms < WAIT_MS; waited_ms += 10) {
        publish(f, 0);
        if (zmq_poll(&item, 1, 10) > 0) return;
    }
    fail_msg("the consumer is not heard");
}

static int open_fixture(void **state)
{
    const struct socket_end end = {.bind = true, .endpoint = "tcp://127.0.0.1:*"};
    const struct thread_wish no_wish = {.cpu = THREAD_ANY_CPU};
    struct fixture *f = calloc(1, sizeof *f);
    struct latent_error err;

    f->context = zmq_ctx_new();
    f->consumers = zmq_ctx_new();
    peers_limit(f->context);
    assert_int_equal(sink_open(&f->sink, f->context, &end, &no_wish, f->endpoint, &err), 0);
    f->port = (unsigned)strtoul(strrchr(f->endpoint, ':') + 1, NULL, 10);
    f->consumer = open_consumer(f);
    wait_to_be_heard(f, f->consumer);
    f->n_cut_before = peers_counts().n_cut;
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    zmq_close(f->consumer);
    zmq_ctx_term(f->consumers);
    sink_close(&f->sink, false);
    zmq_ctx_term(f->context);
    assert_int_equal(peers_counts().n_open, 0);
    free(f);
    return 0;
}

/* All of from ... to, none twice, none missing. */
static void check_frames(struct fixture *f, unsigned from, unsigned to)
{
    unsigned number;

    for (unsigned i = from; i <= to; i++) publish(f, i);
    do number = receive(f->consumer);
    while (number == 0);
    for (unsigned i = from; i <= to; i++, number = i <= to ? receive(f->consumer) : 0)
        assert_int_equal(number, i);
}

/* ---- a peer that speaks ZMTP by hand ---- */

static int raw_peer(struct fixture *f)
{
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 1, 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\4\x19\5READY\xbSocket-Type\0\0\0\3SUB";
    const struct timeval wait = {.tv_sec = WAIT_MS / 1000};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint8_t said[sizeof greeting + sizeof ready - 1];

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL), sizeof greeting);
    assert_int_equal(send(fd, ready, sizeof ready - 1, MSG_NOSIGNAL), sizeof ready - 1);
    /* Nothing may be sent before the other side has said as much. */
    assert_int_equal(recv(fd, said, sizeof said, MSG_WAITALL), sizeof said);
    return fd;
}

/* Topics of 20 bytes, all different, as long as they are taken. */
static void subscribe_from(int fd, unsigned first, unsigned n_topics)
{
    uint8_t message[23] = {0, 21, 1};

    for (unsigned i = first; i < first + n_topics; i++) {
        memcpy(message + 3, &i, sizeof i);
        memcpy(message + 7, &fd, sizeof fd);
        if (send(fd, message, sizeof message, MSG_NOSIGNAL) < 0) return;
    }
}

static void subscribe(int fd, unsigned n_topics)
{
    subscribe_from(fd, 0, n_topics);
}

/* Read what libzmq says until it hangs up. */
static void wait_for_hangup(int fd)
{
    char bytes[4096];
    ssize_t got;

    do got = recv(fd, bytes, sizeof bytes, 0);
    while (got > 0);
    assert_true(got == 0 || errno == ECONNRESET);
    close(fd);
}

static void wait_for_open(uint64_t n)
{
    for (int waited_ms = 0; waited_ms < WAIT_MS && peers_counts().n_open != n; waited_ms++)
        usleep(1000);
    assert_int_equal(peers_counts().n_open, n);
}

/* The topics of a peer that has left go after it. */
static void wait_for_topic_bytes(uint64_t n)
{
    for (int waited_ms = 0; waited_ms < WAIT_MS && peers_counts().n_topic_bytes != n; waited_ms++)
        usleep(1000);
    assert_int_equal(peers_counts().n_topic_bytes, n);
}

/* ---- tests ---- */

static void test_all_is_handed_over_at_the_end(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i <= N_FRAMES; i++) publish(f, i);
    sink_close(&f->sink, false);
    for (unsigned i = 1; i <= N_FRAMES; i++) {
        unsigned number = receive(f->consumer);
        if (number == 0)
            i--; /* from before */
        else
            assert_int_equal(number, i);
    }
}

static void test_flood_is_cut(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 5; i++) {
        int fd = raw_peer(f);
        subscribe(fd, 100000);
        check_frames(f, i * 50 + 1, i * 50 + 50);
        wait_for_hangup(fd);
    }
    wait_for_open(1);
    assert_int_equal(peers_counts().n_cut - f->n_cut_before, 5);
    wait_for_topic_bytes(4 + PEERS_TOPIC_BYTES); /* the consumer's */
}

static void test_long_topics_are_cut(void **state)
{
    static const uint8_t head[] = "\2\0\0\0\0\0\0\x10\1"; /* a message of 4097 bytes */
    struct fixture *f = *state;
    int fd = raw_peer(f);

    assert_int_equal(send(fd, head, sizeof head - 1, MSG_NOSIGNAL), sizeof head - 1);
    wait_for_hangup(fd);
    check_frames(f, 1, 50);
}

static void test_modest_peers_stay(void **state)
{
    struct fixture *f = *state;
    int peers[100];

    for (unsigned i = 0; i < 100; i++) {
        peers[i] = raw_peer(f);
        subscribe(peers[i], 4); /* 14,400 bytes in all */
    }
    wait_for_open(101);
    check_frames(f, 1, 50);
    for (unsigned i = 0; i < 100; i++) close(peers[i]);
    wait_for_open(1);
    check_frames(f, 51, 100);
    assert_int_equal(peers_counts().n_cut, f->n_cut_before);
}

static void wait_for_cut(struct fixture *f, uint64_t n)
{
    for (int waited_ms = 0; waited_ms < WAIT_MS && peers_counts().n_cut - f->n_cut_before < n;
         waited_ms++)
        usleep(1000);
    assert_int_equal(peers_counts().n_cut - f->n_cut_before, n);
}

/* Less than what it may send at once, more than what is kept for it. */
static void test_topics_of_one_are_bounded(void **state)
{
    struct fixture *f = *state;
    int fd = raw_peer(f);

    subscribe(fd, PEERS_TOPICS_BYTES / 36);
    check_frames(f, 1, 50);
    assert_int_equal(peers_counts().n_cut, f->n_cut_before);
    subscribe_from(fd, 1000, 1);
    wait_for_cut(f, 1);
    wait_for_hangup(fd);
    check_frames(f, 51, 100);
}

/* Each within what is kept for one: together they are too many, and the largest has to go. */
static void test_topics_of_all_are_bounded(void **state)
{
    enum { N_TOPICS = 20 };
    struct fixture *f = *state;
    int large = raw_peer(f), peers[30];
    uint64_t n_cut = 0;

    subscribe(large, 100); /* 3,600 bytes */
    wait_for_open(2);
    check_frames(f, 1, 50);
    for (unsigned i = 0; i < 30; i++) { /* 720 bytes each */
        peers[i] = raw_peer(f);
        subscribe(peers[i], N_TOPICS);
    }
    wait_for_hangup(large); /* the first to go */
    check_frames(f, 51, 100);
    for (int waited_ms = 0; waited_ms < WAIT_MS && n_cut < 9; waited_ms++) {
        n_cut = peers_counts().n_cut - f->n_cut_before;
        usleep(1000);
    }
    assert_int_equal(n_cut, 9); /* 22 of 720 bytes and the consumer's are below 16 KiB */
    for (unsigned i = 0; i < 30; i++) close(peers[i]);
    wait_for_open(1);
    check_frames(f, 101, 150);
}

/* An assertion that fails leaves sockets open, and the fixture would wait for them. */
int main(void)
{
    alarm(300);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_is_handed_over_at_the_end, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_flood_is_cut, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_long_topics_are_cut, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_modest_peers_stay, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_topics_of_one_are_bounded, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_topics_of_all_are_bounded, open_fixture,
                                        close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
