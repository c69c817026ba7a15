/* Messages from the socket to the streams named by their topics, a step at a time. */
#include "latentd/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "latentd/stream.h"
#include "net/message.h"

/* All that can have been waiting at one wake shares its stamp. What comes after as many messages
 * without a pause is stamped anew. */
#define DRAIN_MESSAGES 1000

/* What a monitor tells of an input's peers. */
#define WATCHED (ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED)

enum { TOPIC, PAYLOAD, N_PARTS };

/* ---- dispatch ---- */

static struct stream *stream_of(const struct input *in, struct message *m)
{
    for (size_t i = 0; i < in->n_streams; i++) {
        struct stream *s = in->streams[i];

        if (message_part_is(m, TOPIC, s->topic_bins, strlen(s->topic_bins))) return s;
    }
    return NULL;
}

/* For people: a name may be mixed with the next one while it is read. */
static void keep_name(struct input *in, zmq_msg_t *topic)
{
    uint64_t words[INPUT_NAME_BYTES / 8] = {0};
    size_t n = zmq_msg_size(topic), most = sizeof words - 1;

    memcpy(words, zmq_msg_data(topic), n < most ? n : most);
    for (size_t i = 0; i < INPUT_NAME_BYTES / 8; i++)
        atomic_store_explicit(&in->unknown_name[i], words[i], memory_order_relaxed);
}

uint64_t input_unknown(const struct input *in, char name[INPUT_NAME_BYTES], uint64_t *number)
{
    uint64_t words[INPUT_NAME_BYTES / 8];

    *number = 0;
    for (size_t i = 0; i < INPUT_NAME_BYTES / 8; i++) {
        words[i] = atomic_load_explicit(&in->unknown_name[i], memory_order_relaxed);
        *number = *number * 31 + words[i];
    }
    memcpy(name, words, INPUT_NAME_BYTES);
    name[INPUT_NAME_BYTES - 1] = '\0';
    return atomic_load_explicit(&in->n_unknown, memory_order_relaxed);
}

static void count_unknown(struct input *in)
{
    uint64_t n = atomic_load_explicit(&in->n_unknown, memory_order_relaxed);
    atomic_store_explicit(&in->n_unknown, n + 1, memory_order_relaxed);
}

static bool is_sub(const struct input *in)
{
    return in->streams[0]->conf->values.input_socket == CONF_SUB;
}

/* Once, with the first bin of the last stream: from here on other names stay at the source. */
static void count_heard(struct input *in, const struct stream *s)
{
    if (s->recv_ns != 0 || in->n_unheard == 0) return;
    in->n_unheard--;
    if (in->n_unheard == 0 && is_sub(in)) zmq_setsockopt(in->socket, ZMQ_UNSUBSCRIBE, "", 0);
}

/* Whose it was, or NULL. */
static const struct stream *dispatch(struct input *in, struct message *m)
{
    struct stream *s = stream_of(in, m);

    if (!s) {
        keep_name(in, &m->part[TOPIC]);
        count_unknown(in);
    } else if (m->n_parts != N_PARTS || m->n_surplus)
        line_refuse_parts(s->line);
    else {
        zmq_msg_t *payload = &m->part[PAYLOAD];

        line_on_frame(s->line, zmq_msg_data(payload), zmq_msg_size(payload), in->t_wake_ns);
        count_heard(in, s);
        s->recv_ns = in->t_wake_ns;
        in->current = s;
    }
    return s;
}

/* Whoever was let in may have lost that since: libzmq lets nobody go. */
static bool is_in_force(const struct input *in, struct message *m)
{
    const struct access *a = in->streams[0]->access;

    if (!in->is_guarded) return true;
    return access_admits(access_find_user(a, zmq_msg_gets(&m->part[TOPIC], "User-Id")),
                         ACCESS_INPUT);
}

static void count_revoked(struct input *in)
{
    uint64_t n = atomic_load_explicit(&in->n_revoked, memory_order_relaxed);
    atomic_store_explicit(&in->n_revoked, n + 1, memory_order_relaxed);
}

/* false: nothing is waiting. *whose: of the message that was. */
static bool take_message(struct input *in, const struct stream **whose)
{
    struct message m;
    bool is_there;

    if (in->n_drained == 0) in->t_wake_ns = clock_now_ns();
    is_there = message_receive(&m, in->socket, N_PARTS, ZMQ_DONTWAIT) == 0;
    if (is_there) {
        if (is_in_force(in, &m))
            *whose = dispatch(in, &m);
        else
            count_revoked(in);
        message_close(&m);
    }
    in->n_drained = is_there ? (in->n_drained + 1) % DRAIN_MESSAGES : 0;
    return is_there;
}

/* ---- turns ---- */

bool input_waits(const struct input *in)
{
    return in->may_wait || (in->current && line_has_work(in->current->line));
}

void input_look(struct input *in)
{
    in->may_wait = true;
}

/* The descriptor speaks once per change: a socket has nothing left when it says so itself. */
const struct stream *input_step(struct input *in)
{
    const struct stream *whose = NULL;

    if (in->current && line_has_work(in->current->line)) {
        line_continue(in->current->line);
        return in->current;
    }
    if (!take_message(in, &whose)) in->may_wait = socket_is_readable(in->socket);
    return whose;
}

/* ---- events ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct input *in = poll->data;

    (void)status;
    (void)events;
    input_look(in);
    in->on_input(in->ctx);
}

/* The first look at the socket is due after uv_poll_start: what came before would not
 * be told. */
int input_start(struct input *in, uv_loop_t *loop, void (*on_input)(void *ctx), void *ctx)
{
    int status = uv_poll_init(loop, &in->readable, socket_descriptor(in->socket));
    if (status) return status;
    in->on_input = on_input;
    in->ctx = ctx;
    in->readable.data = in;
    input_look(in);
    return uv_poll_start(&in->readable, UV_READABLE, on_readable);
}

void input_stop(struct input *in)
{
    uv_close((uv_handle_t *)&in->readable, NULL);
}

/* ---- peers ---- */

/* Without a mark on this side: at a mark, libzmq's own thread would wait for us to
 * read. */
static int monitor_open(struct input *in, void *context)
{
    char address[64];
    int no_mark = 0;

    snprintf(address, sizeof address, "inproc://monitor-%p", in->socket);
    if (zmq_socket_monitor(in->socket, address, WATCHED)) return -1;
    in->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!in->monitor) return -1;
    zmq_setsockopt(in->monitor, ZMQ_RCVHWM, &no_mark, sizeof no_mark);
    return zmq_connect(in->monitor, address);
}

/* The event's number, 16 bits; then its value. */
static void on_event(struct input *in, zmq_msg_t *part)
{
    uint16_t event;

    if (zmq_msg_size(part) < sizeof event) return;
    memcpy(&event, zmq_msg_data(part), sizeof event);
    in->n_disconnected += event == ZMQ_EVENT_DISCONNECTED;
    if (event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED) return;
    in->n_shaken++;
    if (!in->t_connected_ns) in->t_connected_ns = clock_now_ns();
}

void input_watch(struct input *in)
{
    struct message m; /* event, then address */

    while (message_receive(&m, in->monitor, 2, ZMQ_DONTWAIT) == 0) {
        on_event(in, &m.part[0]);
        message_close(&m);
    }
}

/* ---- life ---- */

int input_open(struct input *in, void *context, const struct stream *s, struct latent_error *err)
{
    const struct conf_stream *v = &s->conf->values;
    enum socket_kind kind = v->input_socket == CONF_PULL ? SOCKET_PULL : SOCKET_SUB;
    struct socket_end end = {.bind = v->input_attach == CONF_BIND, .endpoint = v->input};

    in->context = context;
    snprintf(in->endpoint, sizeof in->endpoint, "%s", v->input);
    access_secure(s->access, ACCESS_INPUT, v->input_server_key ? s->input_server : NULL, &end);
    in->is_guarded = end.zap_domain != NULL;
    in->socket = socket_open(context, kind, &end, in->bound, err);
    if (!in->socket) return err->status;
    if (monitor_open(in, context) == 0) return 0;
    snprintf(err->text, sizeof err->text, "%s: no monitor: %s", v->input,
             zmq_strerror(zmq_errno()));
    return err->status = LATENT_E_IO;
}

int input_add(struct input *in, struct stream *s)
{
    struct stream **streams = realloc(in->streams, (in->n_streams + 1) * sizeof *in->streams);

    if (!streams) return -1;
    in->streams = streams;
    in->streams[in->n_streams++] = s;
    in->n_unheard++;
    s->input = in;
    if (!is_sub(in)) return 0;
    if (zmq_setsockopt(in->socket, ZMQ_SUBSCRIBE, s->topic_bins, strlen(s->topic_bins))) return -1;
    return in->n_streams > 1 ? 0 : zmq_setsockopt(in->socket, ZMQ_SUBSCRIBE, "", 0);
}

void input_close(struct input *in, bool is_waited_for)
{
    if (in->socket) {
        zmq_socket_monitor(in->socket, NULL, 0);
        socket_close(in->context, in->socket, is_waited_for);
    }
    if (in->monitor) zmq_close(in->monitor);
    free(in->streams);
    *in = (struct input){0};
}
