/* Requests come from whoever can reach the socket: everything in them is checked, and
 * each gets a reply. */
#include "latentd/control.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "latentd/reload.h"
#include "net/message.h"

#define WATCH_PERIOD_MS (DATA_LOOP_TICK_NS / 1000000)
#define LOOK_PERIOD_MS 1
#define SWAPS_PERIOD_MS 2
#define LATES_PERIOD_MS 50
#define LEAVE_PERIOD_MS 50
#define CHANNELS_PERIOD_MS 50 /* 128 bins, which are always kept, take longer than this at 2 kHz */
#define END_NS 5000000000u    /* that the end of the daemon waits for the disk */
#define MAX_PARTS 3           /* identity, empty delimiter of a REQ socket, request */

/* ---- one reply ---- */

/* Everything before the request goes back before the reply: it is the way. A peer that
 * is gone, or does not read, gets none. */
static void reply_send(struct message *m, void *socket, const void *bytes, size_t n)
{
    size_t n_way = m->n_parts > 2 && zmq_msg_size(&m->part[1]) == 0 ? 2 : 1;

    for (size_t i = 0; i < n_way; i++)
        if (zmq_msg_send(&m->part[i], socket, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) return;
    zmq_send(socket, bytes, n, ZMQ_DONTWAIT);
}

/* Whoever reaches a socket of the file system, or of loopback in plaintext, has been
 * let in by its owner. On an encrypted one libzmq puts down the key that our handler
 * let in; there no peer can set it. It may have been taken away since. */
static enum request_right right_of(const struct control *c, zmq_msg_t *part)
{
    const struct access_client *client;

    if (!c->is_guarded) return REQUEST_CHANGES;
    client = access_find_user(&c->daemon->access, zmq_msg_gets(part, "User-Id"));
    if (!access_admits(client, ACCESS_CONTROL)) return REQUEST_NOTHING;
    return client->roles & CONF_OPERATOR ? REQUEST_CHANGES : REQUEST_TELLS;
}

/* ---- answers, at once or owed ---- */

struct owed {
    struct message message; /* the request, with the way back */
    struct request *request;
    struct owed *next;
};

static void answer(struct control *c, struct message *m, struct request *r)
{
    size_t n;
    void *reply = request_reply(r, &n);

    if (reply) reply_send(m, c->socket, reply, n);
    free(reply);
    request_free(r);
    message_close(m);
}

static void on_owed(uv_timer_t *timer);

static void owe(struct control *c, struct message *m, struct request *r)
{
    struct owed *o = malloc(sizeof *o);

    if (!o) {
        request_give_up(r, "out of memory to wait for it");
        answer(c, m, r);
        return;
    }
    *o = (struct owed){*m, r, c->owed};
    if (!c->owed) uv_timer_start(&c->look, on_owed, LOOK_PERIOD_MS, LOOK_PERIOD_MS);
    c->owed = o;
}

/* Those that are there by now, or all. */
static void answer_owed(struct control *c, bool all)
{
    for (struct owed **at = &c->owed; *at;) {
        struct owed *o = *at;

        if (all) request_give_up(o->request, "latentd is ending");
        if (!request_is_answered(o->request)) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        answer(c, &o->message, o->request);
        free(o);
    }
    if (!c->owed) uv_timer_stop(&c->look);
}

static void on_owed(uv_timer_t *timer)
{
    answer_owed(timer->data, false);
}

/* ---- decoders that change places ---- */

static void on_swaps(uv_timer_t *timer)
{
    struct control *c = timer->data;
    uint64_t now_ns = clock_now_ns();
    bool any = false;

    for (size_t i = 0; i < c->daemon->n_streams; i++) {
        swap_watch(&c->daemon->streams[i]->swap, now_ns);
        any |= swap_is_active(&c->daemon->streams[i]->swap);
    }
    if (!any) uv_timer_stop(timer);
}

static void watch_swaps(struct control *c)
{
    if (!uv_is_active((uv_handle_t *)&c->swaps))
        uv_timer_start(&c->swaps, on_swaps, 0, SWAPS_PERIOD_MS);
}

/* ---- bad channels ---- */

static void on_channels(uv_timer_t *timer)
{
    struct control *c = timer->data;

    for (size_t i = 0; i < c->daemon->n_streams; i++)
        channel_watch_look(&c->daemon->streams[i]->watch, clock_now_ns());
}

/* ---- streams that leave ---- */

static bool is_asked_about(const struct control *c, const struct leave *leave)
{
    for (const struct owed *o = c->owed; o; o = o->next)
        if (request_is_about(o->request, leave)) return true;
    return false;
}

/* What was asked of them before is answered first; every such answer has its time. */
static void on_leave(uv_timer_t *timer)
{
    struct control *c = timer->data;
    struct leave *leave = c->daemon->leave;

    if (!leave || leave_is_closing(leave) || !leave_has_stopped(leave)) return;
    if (!is_asked_about(c, leave)) leave_close(leave, &c->loop);
}

/* ---- late bins ---- */

static void on_lates(uv_timer_t *timer)
{
    struct control *c = timer->data;

    if (c->daemon->lateness) lateness_record(c->daemon->lateness);
}

static void serve_one(struct control *c)
{
    struct request *r = NULL;
    struct message m;
    zmq_msg_t *last;

    if (message_receive(&m, c->socket, MAX_PARTS, ZMQ_DONTWAIT)) return;
    if (m.n_parts >= 2) {
        last = &m.part[m.n_parts - 1];
        /* With a surplus it is unreadable, and told so. */
        r = request_take(&c->ground, right_of(c, last), m.n_surplus ? NULL : zmq_msg_data(last),
                         m.n_surplus ? 0 : zmq_msg_size(last));
    }
    if (!r)
        message_close(&m);
    else if (request_is_answered(r))
        answer(c, &m, r);
    else
        owe(c, &m, r);
}

/* ---- events ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct control *c = poll->data;

    (void)status;
    (void)events;
    while (socket_is_readable(c->socket)) serve_one(c);
    watch_swaps(c);
}

static void on_signal(uv_signal_t *handle, int number)
{
    log_say(LOG_LEVEL_INFO, "%s: stopping", strsignal(number));
    uv_stop(handle->loop);
}

/* A terminal that hangs up wants the program to end; a hangup of anybody else, its configuration
 * read anew. */
static void on_hangup(uv_signal_t *handle, int number)
{
    struct control *c = handle->data;

    if (isatty(STDERR_FILENO))
        on_signal(handle, number);
    else
        reload_by_signal(c->daemon, &c->loop);
}

/* The monitors' queues are emptied whether or not anyone asks for the status; what was refused is
 * said. */
static void on_watch(uv_timer_t *timer)
{
    struct control *c = timer->data;
    uint64_t now_ns = clock_now_ns();

    for (size_t i = 0; i < c->daemon->n_loops; i++)
        for (size_t j = 0; j < c->daemon->loops[i]->n_inputs; j++) {
            input_watch(&c->daemon->loops[i]->inputs[j]);
            refusals_say_input(&c->daemon->loops[i]->inputs[j], now_ns);
        }
    for (size_t i = 0; i < c->daemon->n_streams; i++) {
        refusals_say_stream(c->daemon->streams[i], now_ns);
        swap_tidy(&c->daemon->streams[i]->swap);
        minute_look(c->daemon->streams[i]->minute, c->daemon->streams[i]->line, now_ns);
    }
    held_retry(&c->daemon->held);
    watchdog_feed(&c->watchdog, c->daemon->loops, c->daemon->n_loops);
}

/* ---- life ---- */

/* The handler of keys before the socket that it guards. */
static int open_guarded(struct control *c, struct latent_error *err)
{
    struct socket_end end = {.bind = true, .endpoint = c->daemon->conf.daemon.control};

    access_secure(&c->daemon->access, ACCESS_CONTROL, NULL, &end);
    c->is_guarded = end.own != NULL;
    if (c->is_guarded && zap_open(&c->zap, c->context, &c->daemon->access, err)) return err->status;
    c->socket = socket_open(c->context, SOCKET_CONTROL, &end, c->bound, err);
    return c->socket ? 0 : err->status;
}

static int open_socket(struct control *c, struct latent_error *err)
{
    char text[LATENT_ERROR_TEXT];

    c->context = zmq_ctx_new();
    if (!c->context) return error_text(err, LATENT_E_NOMEM, "control: out of memory");
    if (open_guarded(c, err) == 0) return 0;
    snprintf(text, sizeof text, "%s", err->text);
    return error_text(err, err->status, "control: %.*s", LATENT_ERROR_TEXT - 32, text);
}

/* Whose default is to end the process, whatever they were meant for; not those that tell of a
 * crash (what comes after one can be anything) and those that are ignored from the start. */
static bool ends_process(int number)
{
    static const int numbers[] = {SIGHUP,  SIGINT,    SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,  SIGALRM,
                                  SIGPROF, SIGVTALRM, SIGIO,   SIGPWR,  SIGXCPU, SIGSTKFLT};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i] == number) return true;
    return number >= SIGRTMIN && number <= SIGRTMAX;
}

/* For good: a second signal must not end the process before its SAFE frames left. */
static int start_signals(struct control *c)
{
    int status = 0;

    for (int i = 1; i < CONTROL_N_SIGNALS && !status; i++) {
        if (!ends_process(i)) continue;
        uv_signal_init(&c->loop, &c->signals[i]);
        c->signals[i].data = c;
        status = uv_signal_start(&c->signals[i], i == SIGHUP ? on_hangup : on_signal, i);
    }
    return status;
}

static int open_handles(struct control *c)
{
    int status = uv_loop_init(&c->loop);

    if (status) return status;
    c->loop_is_open = true;
    c->daemon->held.loop = &c->loop;
    uv_timer_init(&c->loop, &c->watch);
    uv_timer_init(&c->loop, &c->look);
    uv_timer_init(&c->loop, &c->swaps);
    uv_timer_init(&c->loop, &c->channels);
    uv_timer_init(&c->loop, &c->leave);
    uv_timer_init(&c->loop, &c->lates);
    c->readable.data = c;
    c->watch.data = c;
    c->look.data = c;
    c->swaps.data = c;
    c->channels.data = c;
    c->leave.data = c;
    c->lates.data = c;
    status = uv_poll_init(&c->loop, &c->readable, socket_descriptor(c->socket));
    if (status) return status;
    status = start_signals(c);
    if (status) return status;
    uv_timer_start(&c->lates, on_lates, LATES_PERIOD_MS, LATES_PERIOD_MS);
    uv_timer_start(&c->watch, on_watch, WATCH_PERIOD_MS, WATCH_PERIOD_MS);
    uv_timer_start(&c->channels, on_channels, CHANNELS_PERIOD_MS, CHANNELS_PERIOD_MS);
    uv_timer_start(&c->leave, on_leave, LEAVE_PERIOD_MS, LEAVE_PERIOD_MS);
    return uv_poll_start(&c->readable, UV_READABLE, on_readable);
}

int control_open(struct control *c, struct daemon *d, struct latent_error *err)
{
    int status;

    *c = (struct control){.daemon = d, .ground = {d, &c->loop}};
    status = open_socket(c, err);
    if (status) return status;
    watchdog_open(&c->watchdog, &d->notes);
    status = open_handles(c);
    if (status == 0) return 0;
    return error_text(err, LATENT_E_IO, "control: %s", uv_strerror(status));
}

/* Requests that came before the loop watched the descriptor would not be told by it. */
void control_run(struct control *c)
{
    on_readable(&c->readable, 0, 0);
    uv_run(&c->loop, UV_RUN_DEFAULT);
}

static bool works_in_pool(const struct control *c)
{
    const struct leave *leave = c->daemon->leave;

    if (held_is_writing(&c->daemon->held) || c->daemon->is_reloading) return true;
    if (leave && leave_is_closing(leave)) return true;
    for (size_t i = 0; i < c->daemon->n_streams; i++)
        if (c->daemon->streams[i]->recording.is_starting ||
            swap_is_loading(&c->daemon->streams[i]->swap))
            return true;
    return false;
}

bool control_finish(struct control *c)
{
    const struct timespec period = clock_timespec(LOOK_PERIOD_MS * 1000000);
    uint64_t until_ns = clock_now_ns() + END_NS;

    answer_owed(c, true);
    uv_timer_stop(&c->channels); /* nobody carries out its orders any more */
    uv_timer_stop(&c->leave);    /* what has not begun is closed with the others */
    while (works_in_pool(c) && clock_now_ns() < until_ns) {
        uv_run(&c->loop, UV_RUN_NOWAIT);
        clock_nanosleep(CLOCK_MONOTONIC, 0, &period, NULL);
    }
    return !works_in_pool(c);
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void control_close(struct control *c)
{
    if (c->loop_is_open) {
        uv_walk(&c->loop, close_handle, NULL);
        uv_run(&c->loop, UV_RUN_DEFAULT);
        uv_loop_close(&c->loop);
    }
    if (c->socket) socket_close(c->context, c->socket, false);
    zap_close(&c->zap);
    if (c->context) zmq_ctx_term(c->context);
    *c = (struct control){0};
}
