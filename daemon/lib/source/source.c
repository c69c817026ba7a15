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
#include "source/attach.h"
#include "source/pace.h"
#include "source/peer.h"
#include "source/target.h"
#include "wire.h"

#define POLL_MS 100
#define NOTICE_NS 2000000000u
#define WHY_NS 1000000000u
#define LINGER_MS 30000
#define LINGER_STOPPED_MS 500
#define DRAIN_NS 1000000000u

struct source {
    struct source_options options;
    struct source_status status;
    struct wire_bins head; /* of the batch that is being filled */
    void *context, *socket;
    bool is_pub, has_subscriber, had_subscriber; /* the last: while something was sent */
    uint64_t n_messages;                         /* sent */
    struct peer peer;
    struct target *target; /* NULL: nobody is asked */
    char topic[WIRE_TOPIC_BYTES];
    float *counts;   /* [batch][n_channels] */
    uint32_t *marks; /* [batch] */
    uint8_t *message;
    size_t capacity;
};

/* ---- opening ------------------------------------------------------------------------ */

const char *const source_sockets[] = {"auto", "push", "pub", NULL};
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

/* endpoint: ours, or what a bind to a wildcard has got. */
static int connection_open(struct source *s, const char *endpoint, struct latent_error *err)
{
    int only_to_peers = 1, bind = strcmp(s->options.attach, "bind") == 0;
    /* XPUB is PUB that also shows who subscribes. */
    s->socket = zmq_socket(s->context, s->is_pub ? ZMQ_XPUB : ZMQ_PUSH);
    if (!s->socket || peer_open(&s->peer, s->context, s->socket))
        return error_text(err, LATENT_E_IO, "no ZeroMQ socket: %s", zmq_strerror(errno));
    /* Nothing is queued for a receiver that is not there. */
    zmq_setsockopt(s->socket, ZMQ_IMMEDIATE, &only_to_peers, sizeof only_to_peers);
    int status = curve_connect_files(s->socket, s->options.key, s->options.server_key, err);
    if (status) return status;
    return source_attach(s->socket, s->options.program, s->topic, endpoint, bind, err);
}

static void connection_close(struct source *s, int linger_ms)
{
    if (!s->socket) return;
    peer_close(&s->peer, s->socket);
    zmq_setsockopt(s->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_close(s->socket);
    s->socket = NULL;
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

static bool waited_enough(const struct source *s, uint64_t since_ns)
{
    return stop_requested() ||
           (s->options.stop_after_s > 0.0 &&
            (double)(clock_now_ns() - since_ns) * 1e-9 > s->options.stop_after_s);
}

/* Without waiting: is there a subscription to our topic? */
static bool subscriber_look(struct source *s)
{
    char subscription[WIRE_TOPIC_BYTES];
    int n;
    while (s->is_pub &&
           (n = zmq_recv(s->socket, subscription, sizeof subscription, ZMQ_DONTWAIT)) >= 0)
        if (n >= 1 && n <= (int)sizeof subscription && subscription[0] == 1 &&
            strncmp(s->topic, subscription + 1, (size_t)n - 1) == 0)
            s->has_subscriber = true;
    return s->has_subscriber;
}

static bool receiver_look(struct source *s)
{
    zmq_pollitem_t item = {s->socket, 0, (short)(s->is_pub ? ZMQ_POLLIN : ZMQ_POLLOUT), 0};
    bool is_ready = zmq_poll(&item, 1, POLL_MS) > 0;
    return s->is_pub ? subscriber_look(s) : is_ready;
}

static void say_refused(const struct source *s)
{
    fprintf(stderr,
            "%s: %s: the receiver at %s does not go with a %s: use --socket %s, or input-socket = "
            "%s in latentd; if it is encrypted, --key and --server-key\n",
            s->options.program, s->topic, s->options.endpoint, s->is_pub ? "PUB" : "PUSH",
            s->is_pub ? "push" : "pub", s->is_pub ? "sub" : "pull");
}

/* Another kind of socket in place of the first, at the same place. */
static int connection_change(struct source *s, struct latent_error *err)
{
    char endpoint[256];
    size_t n = sizeof endpoint;
    int no_drop = 1, bind = strcmp(s->options.attach, "bind") == 0;
    if (zmq_getsockopt(s->socket, ZMQ_LAST_ENDPOINT, endpoint, &n))
        snprintf(endpoint, sizeof endpoint, "%s", s->options.endpoint);
    if (bind) zmq_unbind(s->socket, endpoint); /* at once: the next one needs the place */
    connection_close(s, 0);
    s->is_pub = true;
    int status = connection_open(s, endpoint, err);
    if (!status) zmq_setsockopt(s->socket, ZMQ_XPUB_NODROP, &no_drop, sizeof no_drop);
    return status;
}

/* Waits for a subscription to our topic, or (push) for a receiver, before time starts. */
static int receiver_wait(struct source *s, struct latent_error *err)
{
    uint64_t since_ns = clock_now_ns();
    bool is_auto = strcmp(s->options.socket, "auto") == 0, told = false, told_refused = false;
    while (!receiver_look(s)) {
        if (stop_requested()) return SOURCE_STOPPED;
        if (waited_enough(s, since_ns)) return source_check_taken(s, err);
        if (peer_refuses(&s->peer) && is_auto && !s->is_pub) {
            int status = connection_change(s, err);
            if (status) return status;
        } else if (s->peer.n_refused > 0 && s->peer.n_shaken == 0 && !told_refused) {
            told_refused = true;
            say_refused(s);
        }
        if (!told && clock_now_ns() - since_ns > NOTICE_NS)
            told = fprintf(stderr, "%s: %s waits: nobody takes the bins at %s\n",
                           s->options.program, s->topic, s->options.endpoint) > 0;
    }
    return 0;
}

static int source_prepare(struct source *s, struct latent_error *err)
{
    bool is_auto = strcmp(s->options.socket, "auto") == 0;
    s->is_pub = strcmp(s->options.socket, "pub") == 0;
    snprintf(s->topic, sizeof s->topic, "%s/bins", s->options.stream);
    int status = buffers_new(s, err);
    s->context = zmq_ctx_new();
    if (!status && !s->context) status = error_text(err, LATENT_E_NOMEM, "out of memory");
    if (!status && s->options.output)
        status = target_open(&s->target, s->context, &s->options, err);
    if (!status) status = connection_open(s, s->options.endpoint, err);
    if (status || !(is_auto || s->options.after_subscriber)) return status;
    if (!is_auto) fprintf(stderr, "%s: %s waits for a receiver\n", s->options.program, s->topic);
    return receiver_wait(s, err);
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
                                 .n_channels = options->n_channels,
                                 .clock_id = options->full_speed ? 0 : wire_clock_id()};
    *out = s;
    return 0;
}

/* A receiver at its high-water mark stops reading, and when the connection ends while it does so,
 * what its kernel holds is lost (libzmq 4.3.4). At full speed it is behind: it gets a second, and
 * one more after each frame that we hear of. */
static void drain_wait(struct source *s)
{
    uint64_t since_ns = clock_now_ns();
    while (s->n_messages > 0 && !stop_requested() && clock_now_ns() - since_ns < DRAIN_NS) {
        if (s->target && target_hears(s->target)) since_ns = clock_now_ns();
        zmq_poll(NULL, 0, POLL_MS);
    }
}

void source_close(struct source *s)
{
    if (!s) return;
    if (s->options.full_speed) drain_wait(s);
    int linger_ms = stop_requested() ? LINGER_STOPPED_MS : LINGER_MS;
    target_close(s->target);
    connection_close(s, linger_ms);
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
        if (told || clock_now_ns() - since_ns <= NOTICE_NS) continue;
        told = fprintf(stderr, "%s: %s waits: nobody takes the bins at %s\n", s->options.program,
                       s->topic, s->options.endpoint);
        if (peer_refuses(&s->peer)) say_refused(s);
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

/* Frames come while bins go: none of them is to fill the queue. */
static void account_sent(struct source *s)
{
    s->n_messages++;
    s->had_subscriber = s->has_subscriber;
    subscriber_look(s);
    if (s->target) target_look(s->target, s->status.epoch);
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
    account_sent(s);
    s->status.n_bins += s->head.n_bins;
    s->head.seq += s->head.n_bins;
    s->head.n_bins = 0;
    return 0;
}

/* Nobody subscribed while bins went. Why shows a moment later, if at all. */
static int nobody_subscribed(struct source *s, struct latent_error *err)
{
    uint64_t since_ns = clock_now_ns();
    while (!peer_refuses(&s->peer) && !s->has_subscriber && clock_now_ns() - since_ns < WHY_NS)
        receiver_look(s);
    if (peer_refuses(&s->peer)) say_refused(s);
    return error_text(err, LATENT_E_IO, "nobody had subscribed to %s at %s: nothing was taken",
                      s->topic, s->options.endpoint);
}

int source_check_taken(struct source *s, struct latent_error *err)
{
    if (s->n_messages == 0)
        return error_text(err, LATENT_E_IO, "nobody took the bins of %s at %s: nothing was sent",
                          s->options.stream, s->options.endpoint);
    if (s->is_pub && !s->had_subscriber) return nobody_subscribed(s, err);
    return s->target ? target_check_taken(s->target, s->status.epoch, err) : 0;
}

int source_send(struct source *s, const void *payload, size_t n, uint64_t epoch, uint64_t due_ns,
                struct latent_error *err)
{
    int status;
    s->status.epoch = epoch;
    if (!s->options.full_speed && pace_wait_until(due_ns)) return SOURCE_STOPPED;
    if (is_over(s)) return SOURCE_STOPPED;
    status = part_send(s, s->topic, strlen(s->topic), ZMQ_SNDMORE, err);
    if (!status) status = part_send(s, payload, n, 0, err);
    if (!status) account_sent(s);
    return status;
}

int source_put(struct source *s, const float *counts, uint32_t marks, struct latent_error *err)
{
    assert(s->head.n_bins < s->options.batch);
    memcpy(s->counts + s->head.n_bins * s->head.n_channels, counts,
           s->head.n_channels * sizeof(float));
    s->marks[s->head.n_bins++] = marks;
    return s->head.n_bins == s->options.batch ? source_flush(s, err) : 0;
}
