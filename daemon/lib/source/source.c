/* A source of bins over ZeroMQ. */
#include "source/source.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/text.h"
#include "command/stop.h"
#include "net/curve.h"
#include "net/socket.h"
#include "source/pace.h"
#include "wire.h"

#define POLL_MS 100
#define NOTICE_NS 2000000000u
#define LINGER_MS 30000
#define LINGER_STOPPED_MS 500

struct source {
    struct source_options options;
    struct source_status status;
    struct wire_bins head; /* of the batch that is being filled */
    void *context, *socket;
    char topic[WIRE_TOPIC_BYTES];
    float *counts;   /* [batch][n_channels] */
    uint32_t *marks; /* [batch] */
    uint8_t *message;
    size_t capacity;
};

/* ---- opening ------------------------------------------------------------------------ */

const char *const source_sockets[] = {"push", "pub", NULL};
const char *const source_attachments[] = {"connect", "bind", NULL};

int source_check(const struct source_options *o, struct latent_error *err)
{
    size_t n = strlen(o->stream);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)o->stream[i]) && !strchr("-_", o->stream[i])) n = 0;
    if (n == 0 || n > WIRE_MAX_STREAM)
        return error_text(err, LATENT_E_CONFIG,
                          "--stream: expected 1 to %d letters, digits, - and _, found \"%.100s\"",
                          WIRE_MAX_STREAM, o->stream);
    if (!o->key != !o->server_key)
        return error_text(err, LATENT_E_CONFIG, "--key and --server-key go together");
    if (o->key && strcmp(o->attach, "bind") == 0)
        return error_text(err, LATENT_E_CONFIG, "--key goes with --attach connect");
    return 0;
}

int source_attach(void *socket, const char *program, const char *what, const char *endpoint,
                  int bind, struct latent_error *err)
{
    char actual[256];
    size_t n = sizeof actual;
    int status = bind ? socket_path_check(endpoint, err) : 0;
    if (status) return status;
    int failed = bind ? zmq_bind(socket, endpoint) : zmq_connect(socket, endpoint);
    if (failed)
        return error_text(err, LATENT_E_IO,
                          "cannot %s to %s: %s (expected e.g. tcp://127.0.0.1:5570 or ipc:///path)",
                          bind ? "bind" : "connect", endpoint, zmq_strerror(errno));
    if (bind && zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, actual, &n) == 0)
        fprintf(stderr, "%s: %s at %s\n", program, what, actual);
    return 0;
}

static int connection_open(struct source *s, int is_pub, int bind, struct latent_error *err)
{
    int only_to_peers = 1;
    s->context = zmq_ctx_new();
    /* XPUB is PUB that also shows who subscribes. */
    s->socket = s->context ? zmq_socket(s->context, is_pub ? ZMQ_XPUB : ZMQ_PUSH) : NULL;
    if (!s->socket)
        return error_text(err, LATENT_E_IO, "no ZeroMQ socket: %s", zmq_strerror(errno));
    /* Nothing is queued for a receiver that is not there. */
    zmq_setsockopt(s->socket, ZMQ_IMMEDIATE, &only_to_peers, sizeof only_to_peers);
    int status = curve_connect_files(s->socket, s->options.key, s->options.server_key, err);
    if (status) return status;
    return source_attach(s->socket, s->options.program, s->topic, s->options.endpoint, bind, err);
}

static int buffers_new(struct source *s, struct latent_error *err)
{
    const struct source_options *o = &s->options;
    s->capacity = wire_bins_bound(o->batch, o->n_channels);
    s->counts = calloc(o->batch * o->n_channels, sizeof(float));
    s->marks = calloc(o->batch, sizeof *s->marks);
    s->message = malloc(s->capacity);
    if (s->counts && s->marks && s->message) return 0;
    return error_text(err, LATENT_E_NOMEM, "out of memory");
}

/* Waits for a subscription to our topic, or (push) for a receiver, before time starts. */
static int receiver_wait(struct source *s, int is_pub)
{
    char subscription[WIRE_TOPIC_BYTES];
    fprintf(stderr, "%s: %s waits for a receiver\n", s->options.program, s->topic);
    while (!stop_requested()) {
        zmq_pollitem_t item = {s->socket, 0, (short)(is_pub ? ZMQ_POLLIN : ZMQ_POLLOUT), 0};
        if (zmq_poll(&item, 1, POLL_MS) <= 0) continue;
        if (!is_pub) return 0;
        int n = zmq_recv(s->socket, subscription, sizeof subscription, 0);
        if (n < 1 || n > (int)sizeof subscription || subscription[0] != 1) continue;
        if (strncmp(s->topic, subscription + 1, (size_t)n - 1) == 0) return 0;
    }
    return SOURCE_STOPPED;
}

static int source_prepare(struct source *s, struct latent_error *err)
{
    int is_pub = strcmp(s->options.socket, "pub") == 0;
    int bind = strcmp(s->options.attach, "bind") == 0;
    snprintf(s->topic, sizeof s->topic, "%s/bins", s->options.stream);
    int status = buffers_new(s, err);
    if (!status) status = connection_open(s, is_pub, bind, err);
    if (!status && s->options.after_subscriber) status = receiver_wait(s, is_pub);
    return status;
}

int source_open(struct source **out, const struct source_options *options, struct latent_error *err)
{
    struct source *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s) return error_text(err, LATENT_E_NOMEM, "out of memory");
    s->options = *options;
    int status = source_prepare(s, err);
    if (status) {
        source_close(s);
        return status;
    }
    s->status.epoch = clock_wall_ns();
    s->status.start_ns = clock_now_ns();
    s->head = (struct wire_bins){.epoch = s->status.epoch,
                                 .bin_width_us = options->bin_width_us,
                                 .n_channels = options->n_channels};
    *out = s;
    return 0;
}

void source_close(struct source *s)
{
    if (!s) return;
    int linger_ms = stop_requested() ? LINGER_STOPPED_MS : LINGER_MS;
    if (s->socket) {
        zmq_setsockopt(s->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(s->socket);
    }
    if (s->context) zmq_ctx_term(s->context);
    free(s->counts);
    free(s->marks);
    free(s->message);
    free(s);
}

/* ---- sending ------------------------------------------------------------------------ */

uint64_t source_bin_end_ns(const struct source *s, uint64_t seq)
{
    return s->status.start_ns + (seq + 1) * s->options.bin_width_us * 1000;
}

const struct source_status *source_status(const struct source *s)
{
    return &s->status;
}

static int is_over(const struct source *s)
{
    double since_s = (double)(clock_now_ns() - s->status.start_ns) * 1e-9;
    return stop_requested() ||
           (s->options.stop_after_s > 0.0 && since_s >= s->options.stop_after_s);
}

/* Sends one part, waiting as long as nobody can take it (only PUSH ever waits). */
static int part_send(struct source *s, const void *data, size_t n, int flags,
                     struct latent_error *err)
{
    uint64_t since_ns = clock_now_ns();
    int told = 0;
    while (zmq_send(s->socket, data, n, flags | ZMQ_DONTWAIT) < 0) {
        if (is_over(s)) return SOURCE_STOPPED;
        if (errno != EAGAIN && errno != EINTR)
            return error_text(err, LATENT_E_IO, "cannot send to %s: %s", s->options.endpoint,
                              zmq_strerror(errno));
        zmq_pollitem_t item = {s->socket, 0, ZMQ_POLLOUT, 0};
        zmq_poll(&item, 1, POLL_MS);
        if (!told && clock_now_ns() - since_ns > NOTICE_NS)
            told = fprintf(stderr, "%s: %s waits: nobody takes the bins at %s\n",
                           s->options.program, s->topic, s->options.endpoint);
    }
    return 0;
}

static void delay_account(struct source *s)
{
    uint64_t end_ns = source_bin_end_ns(s, s->head.seq + s->head.n_bins - 1);
    uint64_t now_ns = clock_now_ns();
    uint64_t delay_ns = now_ns > end_ns ? now_ns - end_ns : 0;
    if (s->options.full_speed) return;
    if (delay_ns > s->options.bin_width_us * 1000ull) s->status.n_late += s->head.n_bins;
    if (delay_ns > s->status.worst_ns) s->status.worst_ns = delay_ns;
}

int source_flush(struct source *s, struct latent_error *err)
{
    if (s->head.n_bins == 0) return 0;
    uint64_t last = s->head.seq + s->head.n_bins - 1;
    if (!s->options.full_speed && pace_wait_until(source_bin_end_ns(s, last)))
        return SOURCE_STOPPED;
    if (is_over(s)) return SOURCE_STOPPED;

    s->head.t_source_ns = source_bin_end_ns(s, s->head.seq);
    size_t n = wire_pack_bins(&s->head, s->counts, s->marks, NULL, s->message, s->capacity);
    if (n == 0 || n > WIRE_MAX_BYTES)
        return error_text(err, LATENT_E_UNSUPPORTED,
                          "a message of %zu bins of %u channels exceeds 1 MiB: use a "
                          "smaller --batch",
                          s->head.n_bins, s->head.n_channels);
    int status = part_send(s, s->topic, strlen(s->topic), ZMQ_SNDMORE, err);
    if (!status) status = part_send(s, s->message, n, 0, err);
    if (status) return status;
    delay_account(s);
    s->status.n_bins += s->head.n_bins;
    s->head.seq += s->head.n_bins;
    s->head.n_bins = 0;
    return 0;
}

int source_send(struct source *s, const void *payload, size_t n, uint64_t due_ns,
                struct latent_error *err)
{
    int status;
    if (!s->options.full_speed && pace_wait_until(due_ns)) return SOURCE_STOPPED;
    if (is_over(s)) return SOURCE_STOPPED;
    status = part_send(s, s->topic, strlen(s->topic), ZMQ_SNDMORE, err);
    return status ? status : part_send(s, payload, n, 0, err);
}

int source_put(struct source *s, const float *counts, uint32_t marks, struct latent_error *err)
{
    assert(s->head.n_bins < s->options.batch);
    memcpy(s->counts + s->head.n_bins * s->head.n_channels, counts,
           s->head.n_channels * sizeof(float));
    s->marks[s->head.n_bins++] = marks;
    return s->head.n_bins == s->options.batch ? source_flush(s, err) : 0;
}
