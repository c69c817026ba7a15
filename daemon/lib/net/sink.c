/* From the publisher's thread to the subscribers. */
#include "net/sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "base/text.h"
#include "net/peers.h"

#define TOPICS_AT_ONCE 100 /* then frames are looked for */

/* ---- the thread ---- */

/* Never waits for a subscriber: one whose queue is full loses the frame. */
static void forward(struct sink *s, zmq_msg_t *topic, zmq_msg_t *payload)
{
    if (zmq_msg_send(topic, s->subscribers, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) return;
    (void)zmq_msg_send(payload, s->subscribers, ZMQ_DONTWAIT);
}

/* One frame, if there is one. A single part is the end. */
static bool take(struct sink *s, bool *ended)
{
    zmq_msg_t topic, payload;
    bool taken;

    zmq_msg_init(&topic);
    zmq_msg_init(&payload);
    taken = zmq_msg_recv(&topic, s->taken, ZMQ_DONTWAIT) >= 0;
    *ended = taken && !zmq_msg_more(&topic);
    if (taken && !*ended && zmq_msg_recv(&payload, s->taken, ZMQ_DONTWAIT) >= 0)
        forward(s, &topic, &payload);
    zmq_msg_close(&topic);
    zmq_msg_close(&payload);
    return taken;
}

/* A topic that nobody had, or that nobody has any more; anything else that a peer says is not
 * listened to. The descriptor is absent where the peer has left. */
static bool take_topic(struct sink *s)
{
    zmq_msg_t said;
    const uint8_t *bytes;
    bool taken;

    zmq_msg_init(&said);
    taken = zmq_msg_recv(&said, s->subscribers, ZMQ_DONTWAIT) >= 0;
    bytes = zmq_msg_data(&said);
    if (taken && zmq_msg_size(&said) > 0 && bytes[0] <= 1)
        peers_on_topic(zmq_msg_get(&said, ZMQ_SRCFD), bytes[0] == 1, zmq_msg_size(&said) - 1);
    zmq_msg_close(&said);
    return taken;
}

static void *run(void *ctx)
{
    struct sink *s = ctx;
    zmq_pollitem_t items[] = {{.socket = s->taken, .events = ZMQ_POLLIN},
                              {.socket = s->subscribers, .events = ZMQ_POLLIN}};
    bool ended = false;

    thread_prepare();
    while (!ended) {
        if (zmq_poll(items, 2, -1) < 0 && errno != EINTR) break;
        while (!ended && take(s, &ended)) continue;
        for (int i = 0; i < TOPICS_AT_ONCE && take_topic(s); i++) continue;
    }
    return NULL;
}

/* ---- life ---- */

static void *open_end(struct sink *s, int (*attach)(void *, const char *), const char *address)
{
    const int queue = SINK_QUEUE_FRAMES / 2, no_linger = 0; /* the two ends' are added up */
    void *end = zmq_socket(s->context, ZMQ_PAIR);

    if (!end) return NULL;
    zmq_setsockopt(end, ZMQ_SNDHWM, &queue, sizeof queue);
    zmq_setsockopt(end, ZMQ_RCVHWM, &queue, sizeof queue);
    zmq_setsockopt(end, ZMQ_LINGER, &no_linger, sizeof no_linger);
    if (attach(end, address) == 0) return end;
    zmq_close(end);
    return NULL;
}

static int open_queue(struct sink *s)
{
    char address[64];

    snprintf(address, sizeof address, "inproc://sink-%p", (void *)s);
    s->taken = open_end(s, zmq_bind, address);
    s->given = s->taken ? open_end(s, zmq_connect, address) : NULL;
    return s->given ? 0 : -1;
}

int sink_open(struct sink *s, void *context, const struct socket_end *end,
              const struct thread_wish *wish, char bound[SOCKET_MAX_ENDPOINT],
              struct latent_error *err)
{
    int status;

    *s = (struct sink){.context = context};
    s->subscribers = socket_open(context, SOCKET_PUB, end, bound, err);
    if (!s->subscribers) return err->status;
    if (open_queue(s))
        return error_text(err, LATENT_E_IO, "%s: no queue: %s", end->endpoint,
                          zmq_strerror(zmq_errno()));
    status = thread_start(&s->thread, "sink", wish, run, s);
    if (status)
        return error_text(err, LATENT_E_IO, "%s: no thread: %s", end->endpoint, strerror(status));
    s->is_running = true;
    return 0;
}

int sink_send(struct sink *s, const char *topic, const void *bytes, size_t n_bytes)
{
    if (zmq_send(s->given, topic, strlen(topic), ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) return -1;
    return zmq_send(s->given, bytes, n_bytes, ZMQ_DONTWAIT) < 0 ? -1 : 0;
}

void sink_close(struct sink *s, bool is_waited_for)
{
    if (s->is_running) {
        zmq_send(s->given, "", 0, 0);
        pthread_join(s->thread, NULL);
    }
    if (s->given) zmq_close(s->given);
    if (s->taken) zmq_close(s->taken);
    if (s->subscribers) socket_close(s->context, s->subscribers, is_waited_for);
    *s = (struct sink){0};
}
