/* Benchmark worker: one bin to a server over ZeroMQ and its answer back. The server is
 * latentd, or with --role echo this program itself: bare ZeroMQ with sockets of the
 * same kinds and messages of the same sizes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "net/curve.h"
#include "wire.h"
#include "worker.h"

#define STREAM "wire"
#define FRAME_TOPIC STREAM "/frame"
#define BINS_TOPIC STREAM "/bins"
#define FIRST_WAIT_MS 50 /* for an answer, until the sockets have found each other */
#define FIRST_TRIES 600

struct place {
    const char *endpoint;
    int bind;
    const char *key, *server_key; /* files; key "none": plaintext */
};

static struct place place_of(int argc, char **argv, const char *end, int bind)
{
    return (struct place){worker_option(argc, argv, end), bind, worker_option(argc, argv, "key"),
                          worker_option(argc, argv, "server-key")};
}

/* Without a domain and a handler of keys: everybody may come. */
static int serve_anybody(void *socket, const struct key_pair *own)
{
    const int is_server = 1;
    if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own->secret, KEY_BYTES)) return -1;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &is_server, sizeof is_server);
}

static void encrypt(void *socket, const struct place *place)
{
    struct latent_error err = {0};
    struct key_pair own;
    int status;
    if (strcmp(place->key, "none") == 0) return;
    if (!place->bind) {
        status = curve_connect_files(socket, place->key, place->server_key, &err);
    } else {
        status = key_file_read_pair(place->key, &own, &err);
        if (!status) status = serve_anybody(socket, &own);
    }
    if (status) worker_absent("no keys: %s", err.text);
}

static void *socket_new(void *context, int kind, const struct place *place)
{
    void *socket = zmq_socket(context, kind);
    int no_linger = 0;
    if (!socket) worker_absent("no socket: %s", zmq_strerror(zmq_errno()));
    zmq_setsockopt(socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    encrypt(socket, place);
    if ((place->bind ? zmq_bind : zmq_connect)(socket, place->endpoint))
        worker_absent("%s: %s", place->endpoint, zmq_strerror(zmq_errno()));
    return socket;
}

/* ---- the bare server ---- */

/* Answers each message with n_reply bytes until its parent kills it. */
static void echo_run(int argc, char **argv)
{
    const struct place in = place_of(argc, argv, "in", 1), out = place_of(argc, argv, "out", 1);
    size_t n_reply = worker_size(argc, argv, "reply-bytes");
    void *context = zmq_ctx_new();
    void *receiver = socket_new(context, ZMQ_PULL, &in);
    void *sender = socket_new(context, ZMQ_PUB, &out);
    char *reply = worker_alloc(n_reply);
    zmq_msg_t part;
    zmq_msg_init(&part);
    puts("ready");
    fflush(stdout);
    while (zmq_msg_recv(&part, receiver, 0) >= 0) {
        if (zmq_msg_more(&part)) continue;
        zmq_send(sender, FRAME_TOPIC, strlen(FRAME_TOPIC), ZMQ_SNDMORE);
        zmq_send(sender, reply, n_reply, 0);
    }
}

/* ---- the client ---- */

struct ping {
    void *sender, *receiver;
    float *counts; /* [n_bins, n_channels] */
    size_t n_bins;
    struct wire_bins head;
    uint8_t *buf;
    size_t cap, n_reply;
};

static void ping_send(struct ping *p, size_t i)
{
    p->head.seq++;
    p->head.t_source_ns += (uint64_t)p->head.bin_width_us * 1000;
    size_t n = wire_pack_bins(&p->head, p->counts + i % p->n_bins * p->head.n_channels, NULL, NULL,
                              p->buf, p->cap);
    zmq_send(p->sender, BINS_TOPIC, strlen(BINS_TOPIC), ZMQ_SNDMORE);
    zmq_send(p->sender, p->buf, n, 0);
}

/* false: nothing came in wait_ms. Other topics (NAME/info) are not subscribed to. */
static int ping_receive(struct ping *p, long wait_ms)
{
    zmq_pollitem_t item = {.socket = p->receiver, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, wait_ms) <= 0) return 0;
    zmq_msg_t part;
    zmq_msg_init(&part);
    do {
        zmq_msg_recv(&part, p->receiver, 0);
        p->n_reply = zmq_msg_size(&part);
    } while (zmq_msg_more(&part));
    zmq_msg_close(&part);
    return 1;
}

/* Bins before the subscription has arrived are not answered. */
static void ping_find_server(struct ping *p)
{
    int answered = 0;
    for (int i = 0; !answered && i < FIRST_TRIES; i++) {
        ping_send(p, 0);
        answered = ping_receive(p, FIRST_WAIT_MS);
    }
    if (!answered) worker_absent("the server does not answer");
    while (ping_receive(p, FIRST_WAIT_MS)) continue;
}

static void ping_step(void *context, size_t i)
{
    struct ping *p = context;
    ping_send(p, i);
    if (!ping_receive(p, 10000)) worker_absent("bin %zu was not answered", i);
}

/* Bytes of the last answer: what the bare server is to send. */
static size_t ping_values(void *context, float *out, size_t cap)
{
    const struct ping *p = context;
    if (cap) out[0] = (float)p->n_reply;
    return 1;
}

static void ping_run(int argc, char **argv)
{
    const struct place in = place_of(argc, argv, "in", 0), out = place_of(argc, argv, "out", 0);
    void *context = zmq_ctx_new();
    struct ping p = {
        .sender = socket_new(context, ZMQ_PUSH, &in),
        .receiver = socket_new(context, ZMQ_SUB, &out),
        .n_bins = worker_size(argc, argv, "bins"),
        .head = {.epoch = 1,
                 .n_bins = 1,
                 .n_channels = (uint32_t)worker_size(argc, argv, "channels"),
                 .bin_width_us = (uint32_t)worker_size(argc, argv, "bin-us")},
    };
    zmq_setsockopt(p.receiver, ZMQ_SUBSCRIBE, FRAME_TOPIC, strlen(FRAME_TOPIC));
    p.counts = worker_floats(worker_option(argc, argv, "counts"), p.n_bins * p.head.n_channels);
    p.cap = wire_bins_bound(1, p.head.n_channels);
    p.buf = worker_alloc(p.cap);
    ping_find_server(&p);
    struct worker w = {&p, ping_step, ping_values, NULL};
    worker_run(&w, "round trip");
    zmq_close(p.sender);
    zmq_close(p.receiver);
    zmq_ctx_term(context);
}

int main(int argc, char **argv)
{
    if (strcmp(worker_option(argc, argv, "role"), "echo") == 0)
        echo_run(argc, argv);
    else
        ping_run(argc, argv);
    return 0;
}
