/* C client of latentd: a SUB socket, the newest frame, and when its readout may be used. */
#include "client.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "latent.pb-c.h"

#define TOPIC_BYTES 256
#define MAX_MESSAGE_BYTES (1 << 20)
#define QUEUE_FRAMES 1000
#define DRAIN_MESSAGES 10000 /* at once, whatever a publisher pours in */

/* An Info and what the readout of its frames means. message NULL: the slot is free. */
struct info_slot {
    Latent__V1__Info *message;
    struct latent_readout *fields; /* [message->n_readout], strings in message */
    float *neutral;                /* [message->n_readout] */
};

/* Frames stamped by another machine's clock: the smallest offset (receipt - publish) seen stands
 * for a frame that did not wait, so frames that waited in a queue look as old as they are. */
struct foreign_clock {
    bool known;
    uint64_t id;
    int64_t smallest_offset_ns;
};

struct latent_client {
    void *context, *socket;
    char frame_topic[TOPIC_BYTES], info_topic[TOPIC_BYTES];
    struct wire_arena arenas[2]; /* newest frame, and the one being unpacked */
    unsigned newest;             /* which arena */
    bool has_frame;
    struct wire_frame frame;
    struct info_slot infos[2]; /* newest first; the other is for frames before a swap */
    uint64_t clock_id;
    struct foreign_clock foreign;
    struct latent_client_counts counts;
    char reason[160];
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What a frame says may be anything: a difference that wraps is told from its sign, one
 * that overflows would be undefined. */
static int64_t difference_ns(int64_t now, uint64_t then)
{
    return (int64_t)((uint64_t)now - then);
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
        c->arenas[i].size = WIRE_ARENA_BASE + 4 * (size_t)MAX_MESSAGE_BYTES;
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
    const int64_t max_bytes = MAX_MESSAGE_BYTES;
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
    if (strlen(stream) + sizeof "/frame" > TOPIC_BYTES)
        return open_failed(err, "stream name of %zu characters; expected at most %zu",
                           strlen(stream), TOPIC_BYTES - sizeof "/frame");
    snprintf(c->frame_topic, TOPIC_BYTES, "%s/frame", stream);
    snprintf(c->info_topic, TOPIC_BYTES, "%s/info", stream);
    c->clock_id = wire_clock_id();
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

static void info_free(struct info_slot *slot)
{
    if (slot->message) latent__v1__info__free_unpacked(slot->message, NULL);
    free(slot->fields);
    free(slot->neutral);
    *slot = (struct info_slot){0};
}

void latent_client_close(latent_client *c)
{
    if (!c) return;
    if (c->socket) zmq_close(c->socket);
    if (c->context) zmq_ctx_term(c->context);
    for (size_t i = 0; i < 2; i++) {
        info_free(&c->infos[i]);
        free(c->arenas[i].bytes);
    }
    free(c);
}

/* ---- receiving ---- */

static int info_load(struct info_slot *slot, const void *payload, size_t n)
{
    Latent__V1__Info *m = latent__v1__info__unpack(NULL, n, payload);

    if (!m) return -1;
    slot->message = m;
    slot->fields = calloc(m->n_readout + 1, sizeof *slot->fields);
    slot->neutral = calloc(m->n_readout + 1, sizeof *slot->neutral);
    if (!slot->fields || !slot->neutral) {
        info_free(slot);
        return -1;
    }
    for (size_t i = 0; i < m->n_readout; i++) {
        const Latent__V1__ReadoutInfo *r = m->readout[i];

        slot->fields[i] =
            (struct latent_readout){r->name, r->unit, r->neutral, r->min, r->max, r->slew};
        slot->neutral[i] = r->neutral;
    }
    return 0;
}

static int on_info(latent_client *c, const void *payload, size_t n)
{
    struct info_slot slot = {0};

    if (info_load(&slot, payload, n)) return -1;
    if (c->infos[0].message && c->infos[0].message->decoder_id == slot.message->decoder_id) {
        info_free(&c->infos[0]);
    } else {
        info_free(&c->infos[1]);
        c->infos[1] = c->infos[0];
    }
    c->infos[0] = slot;
    return 0;
}

static void count_lost(latent_client *c, const struct wire_frame *f)
{
    uint64_t advance = f->pub_seq - c->frame.pub_seq;

    if (!c->has_frame) return;
    if (f->pub_seq > c->frame.pub_seq)
        c->counts.lost += advance - 1;
    else
        c->counts.restarts++;
}

static bool is_local(const latent_client *c, const struct wire_frame *f)
{
    return c->clock_id != 0 && f->clock_id == c->clock_id;
}

static void foreign_on_frame(struct foreign_clock *clock, const struct wire_frame *f,
                             int64_t t_receipt_ns)
{
    int64_t offset_ns = difference_ns(t_receipt_ns, f->t_publish_ns);

    if (!clock->known || clock->id != f->clock_id)
        *clock = (struct foreign_clock){true, f->clock_id, offset_ns};
    if (offset_ns < clock->smallest_offset_ns) clock->smallest_offset_ns = offset_ns;
}

static int on_frame(latent_client *c, const void *payload, size_t n)
{
    struct wire_frame frame;

    if (wire_unpack_frame(&c->arenas[!c->newest], payload, n, &frame)) return -1;
    count_lost(c, &frame);
    c->counts.received++;
    if (!is_local(c, &frame)) foreign_on_frame(&c->foreign, &frame, now_ns());
    c->newest = !c->newest;
    c->frame = frame;
    c->has_frame = true;
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
    int status = -1;

    if (!is_frame && !is_info) return 0;
    if (zmq_msg_size(payload) > 0)
        status = (is_frame ? on_frame : on_info)(c, zmq_msg_data(payload), zmq_msg_size(payload));
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

static int64_t age_at(const latent_client *c, int64_t now)
{
    uint64_t offset = is_local(c, &c->frame) ? 0 : (uint64_t)c->foreign.smallest_offset_ns;

    return difference_ns(now, c->frame.t_publish_ns + offset);
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
        if (result == 1 && age_at(c, start_ns) < 0) break;
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
    *out = c->frame;
    return 1;
}

/* ---- the readout ---- */

static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* Why the newest frame must not drive a device; NULL when it may. */
static const char *unfit(latent_client *c, const Latent__V1__Info *info)
{
    const struct latent_frame *values = &c->frame.values;
    int64_t age_ns;

    if (!c->has_frame) return "no frame yet";
    if (c->frame.decoder_id != info->decoder_id)
        return "the decoder changed and its info has not come yet";
    if (values->n_readout != info->n_readout)
        return "the frame carries another number of readout values than its info names";
    if (!all_finite(values->readout, values->n_readout)) return "the readout is not finite";
    age_ns = age_at(c, now_ns());
    if (age_ns < 0)
        return "published in the future: the clocks of publisher and subscriber disagree";
    if ((uint64_t)age_ns < c->frame.valid_for_ns) return NULL;
    snprintf(c->reason, sizeof c->reason, "expired: %.1f ms old, valid for %.1f ms",
             (double)age_ns / 1e6, (double)c->frame.valid_for_ns / 1e6);
    return c->reason;
}

/* The Info of the newest frame; otherwise the newest, whose neutral values are the best known. */
static const struct info_slot *info_of_frame(const latent_client *c)
{
    const struct info_slot *other = &c->infos[1];

    if (c->has_frame && other->message && other->message->decoder_id == c->frame.decoder_id)
        return other;
    return &c->infos[0];
}

int latent_client_readout(latent_client *c, struct latent_client_readout *out)
{
    const struct info_slot *info = info_of_frame(c);

    if (!info->message || info->message->n_readout == 0) return 0;
    out->n = (uint32_t)info->message->n_readout;
    out->fields = info->fields;
    out->reason = unfit(c, info->message);
    out->values = out->reason ? info->neutral : c->frame.values.readout;
    return 1;
}

struct latent_client_counts latent_client_counts(const latent_client *c)
{
    return c->counts;
}
