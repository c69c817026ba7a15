/* C client of latentd: a SUB socket drained to the newest frame; judge.c says when its readout
 * may be used. */
#include "client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "judge.h"

#define QUEUE_FRAMES 1000
#define DRAIN_MESSAGES 10000 /* at once, whatever a publisher pours in */

struct latent_client {
    void *context, *socket;
    char frame_topic[WIRE_TOPIC_BYTES], info_topic[WIRE_TOPIC_BYTES];
    struct wire_arena arenas[2]; /* newest frame, and the one being unpacked */
    unsigned newest;             /* which arena */
    struct judge judge;
    struct latent_client_counts counts;
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- open and close ---- */

__attribute__((format(printf, 2, 3))) static int open_failed(struct latent_error *err,
                                                             const char *format, ...)
{
    va_list args;

    if (!err) return LATENT_E_IO;
    err->status = LATENT_E_IO;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return LATENT_E_IO;
}

static int open_memory(latent_client *c)
{
    for (size_t i = 0; i < 2; i++) {
        c->arenas[i].size = WIRE_ARENA_BASE + 4 * (size_t)WIRE_MAX_BYTES;
        c->arenas[i].bytes = aligned_alloc(16, c->arenas[i].size);
        if (!c->arenas[i].bytes) return LATENT_E_NOMEM;
    }
    return 0;
}

/* The three in the order in which libzmq wants them; it takes nothing but letters of Z85. */
static int set_keys(void *socket, const struct latent_client_keys *keys)
{
    const size_t n = 40;

    if (strlen(keys->server_public) != n || strlen(keys->own_public) != n ||
        strlen(keys->own_secret) != n ||
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, keys->server_public, n + 1) ||
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->own_public, n + 1))
        return -1;
    return zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->own_secret, n + 1);
}

/* keys NULL: plaintext. 1: a key is none. */
static int open_socket(latent_client *c, const char *endpoint,
                       const struct latent_client_keys *keys)
{
    const int64_t max_bytes = WIRE_MAX_BYTES;
    const int queue = QUEUE_FRAMES, linger = 0;

    c->context = zmq_ctx_new();
    c->socket = c->context ? zmq_socket(c->context, ZMQ_SUB) : NULL;
    if (!c->socket) return -1;
    if (keys && set_keys(c->socket, keys)) return 1;
    zmq_setsockopt(c->socket, ZMQ_MAXMSGSIZE, &max_bytes, sizeof max_bytes);
    zmq_setsockopt(c->socket, ZMQ_RCVHWM, &queue, sizeof queue);
    zmq_setsockopt(c->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(c->socket, ZMQ_SUBSCRIBE, c->frame_topic, strlen(c->frame_topic));
    zmq_setsockopt(c->socket, ZMQ_SUBSCRIBE, c->info_topic, strlen(c->info_topic));
    return zmq_connect(c->socket, endpoint);
}

static int open_all(latent_client *c, const char *endpoint, const char *stream,
                    const struct latent_client_keys *keys, struct latent_error *err)
{
    int status;

    if (open_memory(c)) return open_failed(err, "client of %s: out of memory", stream);
    if (strlen(stream) > WIRE_MAX_STREAM)
        return open_failed(err, "stream name of %zu characters; expected at most %zu",
                           strlen(stream), (size_t)WIRE_MAX_STREAM);
    snprintf(c->frame_topic, WIRE_TOPIC_BYTES, "%s/frame", stream);
    snprintf(c->info_topic, WIRE_TOPIC_BYTES, "%s/info", stream);
    judge_open(&c->judge, wire_clock_id());
    status = open_socket(c, endpoint, keys);
    if (status == 0) return 0;
    if (status > 0)
        return open_failed(err, "client of %s: a key is damaged; expected 40 letters of Z85 each",
                           stream);
    return open_failed(err,
                       "%s: cannot connect: %s; expected an endpoint such as tcp://127.0.0.1:5571",
                       endpoint, zmq_strerror(errno));
}

static int open_client(latent_client **out, const char *endpoint, const char *stream,
                       const struct latent_client_keys *keys, struct latent_error *err)
{
    latent_client *c = calloc(1, sizeof *c);
    int status;

    *out = NULL;
    if (!c) return open_failed(err, "client of %s: out of memory", stream);
    status = open_all(c, endpoint, stream, keys, err);
    if (status) {
        latent_client_close(c);
        return status;
    }
    *out = c;
    return 0;
}

int latent_client_open(latent_client **out, const char *endpoint, const char *stream,
                       struct latent_error *err)
{
    return open_client(out, endpoint, stream, NULL, err);
}

int latent_client_open_encrypted(latent_client **out, const char *endpoint, const char *stream,
                                 const struct latent_client_keys *keys, struct latent_error *err)
{
    return open_client(out, endpoint, stream, keys, err);
}

void latent_client_close(latent_client *c)
{
    if (!c) return;
    if (c->socket) zmq_close(c->socket);
    if (c->context) zmq_ctx_term(c->context);
    judge_close(&c->judge);
    for (size_t i = 0; i < 2; i++) free(c->arenas[i].bytes);
    free(c);
}

/* ---- receiving ---- */

static void count_lost(latent_client *c, const struct wire_frame *f)
{
    uint64_t before = c->judge.frame.pub_seq;

    if (!c->judge.has_frame) return;
    if (f->pub_seq > before)
        c->counts.lost += f->pub_seq - before - 1;
    else
        c->counts.restarts++;
}

static int on_frame(latent_client *c, const void *payload, size_t n)
{
    struct wire_frame frame;

    if (wire_unpack_frame(&c->arenas[!c->newest], payload, n, &frame)) return -1;
    count_lost(c, &frame);
    c->counts.received++;
    c->newest = !c->newest;
    judge_on_frame(&c->judge, &frame, now_ns());
    return 0;
}

static bool topic_is(zmq_msg_t *part, const char *topic)
{
    size_t n = strlen(topic);

    return zmq_msg_size(part) == n && memcmp(zmq_msg_data(part), topic, n) == 0;
}

/* Subscribing is by prefix, so the topic is checked. 1: a frame was taken, 0: something else. */
static int dispatch(latent_client *c, zmq_msg_t *topic, zmq_msg_t *payload)
{
    bool is_frame = topic_is(topic, c->frame_topic), is_info = topic_is(topic, c->info_topic);
    size_t n = zmq_msg_size(payload);
    int status = -1;

    if (!is_frame && !is_info) return 0;
    if (n > 0 && is_frame) status = on_frame(c, zmq_msg_data(payload), n);
    if (n > 0 && is_info) status = judge_on_info(&c->judge, zmq_msg_data(payload), n);
    if (status) c->counts.refused++;
    return is_frame && !status;
}

/* Receive one message whole, without waiting. 1: a frame, 0: something else, -1: nothing there. */
static int receive(latent_client *c)
{
    zmq_msg_t parts[2], extra;
    int n_parts = 0, result = 0, more = 1;

    zmq_msg_init(&parts[0]);
    zmq_msg_init(&parts[1]);
    zmq_msg_init(&extra);
    while (more) {
        zmq_msg_t *part = n_parts < 2 ? &parts[n_parts] : &extra;

        if (zmq_msg_recv(part, c->socket, ZMQ_DONTWAIT) < 0) break;
        n_parts++;
        more = zmq_msg_more(part);
    }
    if (n_parts == 0)
        result = -1;
    else if (n_parts == 2 && !more)
        result = dispatch(c, &parts[0], &parts[1]);
    else
        c->counts.refused++;
    zmq_msg_close(&parts[0]);
    zmq_msg_close(&parts[1]);
    zmq_msg_close(&extra);
    return result;
}

/* All that waits. A frame that was published after the drain began is the newest one;
 * to go on would be a race with a publisher that may be the faster. */
static bool drain(latent_client *c)
{
    int64_t start_ns = now_ns();
    bool any = false;

    for (int n = 0; n < DRAIN_MESSAGES; n++) {
        int result = receive(c);

        if (result < 0) break;
        any |= result == 1;
        if (result == 1 && judge_is_after(&c->judge, start_ns)) break;
    }
    return any;
}

int latent_client_poll(latent_client *c, int timeout_ms, struct wire_frame *out)
{
    int64_t end_ns = now_ns() + (int64_t)timeout_ms * 1000000;
    bool any = drain(c);

    while (!any) {
        int64_t left_ns = end_ns - now_ns();
        long left_ms = timeout_ms < 0 ? -1 : (long)((left_ns + 999999) / 1000000);
        zmq_pollitem_t item = {.socket = c->socket, .events = ZMQ_POLLIN};

        if (timeout_ms >= 0 && left_ns <= 0) return 0;
        if (zmq_poll(&item, 1, left_ms) < 0) return 0;
        any = drain(c);
    }
    *out = c->judge.frame;
    return 1;
}

int latent_client_readout(latent_client *c, struct latent_client_readout *out)
{
    return judge_readout(&c->judge, now_ns(), out);
}

struct latent_client_counts latent_client_counts(const latent_client *c)
{
    return c->counts;
}
