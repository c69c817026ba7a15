/* Request -> operation -> Reply, at once or when an order has been carried out. */
#include "latentd/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/words.h"
#include "control/code.h"
#include "latent.pb-c.h"
#include "latentd/record_start.h"
#include "latentd/status.h"

#define TEXT_BYTES 512

/* Is the answer there by now? If so, it has been said. */
typedef bool look_fn(struct request *r, uint64_t now_ns);

struct request {
    Latent__V1__Reply reply;
    struct status status;
    char text[TEXT_BYTES];
    /* While the answer is owed; look is NULL when it is not. */
    look_fn *look;
    struct stream *stream;
    uint64_t t_taken_ns;
    struct order order;
    const char *done; /* of it: what is so then */
    struct record_start *start;
};

__attribute__((format(printf, 3, 4))) static void say(struct request *r, enum control_code code,
                                                      const char *format, ...)
{
    va_list args;

    r->reply.code = code;
    va_start(args, format);
    vsnprintf(r->text, sizeof r->text, format, args);
    va_end(args);
}

/* ---- operations ---- */

typedef void operation_fn(struct request_ground *g, const Latent__V1__Request *request,
                          struct stream *s, struct request *r);

static void give_status(struct daemon *d, struct stream *only, struct request *r)
{
    if (status_build(&r->status, d, only))
        say(r, CONTROL_NO_MEMORY, "out of memory for the status");
    else
        r->reply.status = &r->status.message;
}

static void on_status(struct request_ground *g, const Latent__V1__Request *request,
                      struct stream *s, struct request *r)
{
    (void)request;
    (void)s;
    give_status(g->daemon, NULL, r);
}

static void on_model(struct request_ground *g, const Latent__V1__Request *request, struct stream *s,
                     struct request *r)
{
    (void)request;
    give_status(g->daemon, s, r);
}

/* ---- orders ---- */

static bool look_order(struct request *r, uint64_t now_ns)
{
    const char *name = r->stream->conf->name;
    struct recording_told told;

    switch (order_look(&r->order, &r->reply.t_done_ns)) {
    case ORDER_REFUSED:
        say(r, CONTROL_REFUSED, "%s is busy with other orders; try again", name);
        return true;
    case ORDER_OVERTAKEN:
        say(r, CONTROL_REFUSED, "%s is SAFE: it was asked for again meanwhile", name);
        return true;
    case ORDER_DONE:
        say(r, CONTROL_DONE, "%s is %s", name, r->done);
        return true;
    case ORDER_OWED:
        break;
    }
    if (recording_look_late(&r->stream->recording, r->t_taken_ns, now_ns, &told) == RECORDING_OWED)
        return false;
    say(r, CONTROL_NOT_DONE, "%s", told.text);
    return true;
}

static void order(struct request *r, struct stream *s, enum line_event_kind entry, bool dry_run,
                  const char *done)
{
    if (dry_run) {
        say(r, CONTROL_DONE, "%s would be %s", s->conf->name, done);
        return;
    }
    r->stream = s;
    r->done = done;
    r->order = orders_enter(s->orders, s->place, entry);
    r->look = look_order;
}

static void on_reset(struct request_ground *g, const Latent__V1__Request *request, struct stream *s,
                     struct request *r)
{
    (void)g;
    order(r, s, LINE_RESET, request->dry_run, "reset before its next bin");
}

static void on_safe_on(struct request_ground *g, const Latent__V1__Request *request,
                       struct stream *s, struct request *r)
{
    (void)g;
    order(r, s, LINE_SAFE_ON, request->dry_run, "SAFE");
}

static void on_safe_off(struct request_ground *g, const Latent__V1__Request *request,
                        struct stream *s, struct request *r)
{
    (void)g;
    order(r, s, LINE_SAFE_OFF, request->dry_run, "no longer held in SAFE");
}

/* ---- records ---- */

/* true: it is said. */
static bool say_recording(struct request *r, enum recording_answer answer,
                          const struct recording_told *told)
{
    static const enum control_code codes[] = {[RECORDING_DONE] = CONTROL_DONE,
                                              [RECORDING_REFUSED] = CONTROL_REFUSED,
                                              [RECORDING_NOT_DONE] = CONTROL_NOT_DONE};

    if (answer == RECORDING_OWED) return false;
    say(r, codes[answer], "%s", told->text);
    return true;
}

static bool look_record_start(struct request *r, uint64_t now_ns)
{
    struct recording_told told;
    bool is_said = say_recording(r, record_start_look(r->start, now_ns, &told), &told);

    if (is_said) r->start = NULL;
    return is_said;
}

static void on_record_start(struct request_ground *g, const Latent__V1__Request *request,
                            struct stream *s, struct request *r)
{
    struct recording_told told;
    enum recording_answer answer =
        record_start_new(&r->start, &s->recording, g->loop, request->path, request->dry_run, &told);

    if (!say_recording(r, answer, &told)) r->look = look_record_start;
}

static bool look_record_stop(struct request *r, uint64_t now_ns)
{
    struct recording_told told;

    return say_recording(r, recording_look_end(&r->stream->recording, r->t_taken_ns, now_ns, &told),
                         &told);
}

static void on_record_stop(struct request_ground *g, const Latent__V1__Request *request,
                           struct stream *s, struct request *r)
{
    struct recording_told told;
    enum recording_answer answer = recording_stop(&s->recording, request->dry_run, &told);

    (void)g;
    r->stream = s;
    if (!say_recording(r, answer, &told)) r->look = look_record_stop;
}

/* only_tells: for monitors too. What is not marked so is for operators. */
static const struct {
    operation_fn *run;
    bool needs_stream, only_tells;
} operations[] = {
    [LATENT__V1__OPERATION__STATUS] = {on_status, false, true},
    [LATENT__V1__OPERATION__RESET] = {on_reset, true, false},
    [LATENT__V1__OPERATION__MODEL] = {on_model, true, true},
    [LATENT__V1__OPERATION__SAFE_ON] = {on_safe_on, true, false},
    [LATENT__V1__OPERATION__SAFE_OFF] = {on_safe_off, true, false},
    [LATENT__V1__OPERATION__RECORD_START] = {on_record_start, true, false},
    [LATENT__V1__OPERATION__RECORD_STOP] = {on_record_stop, true, false},
};
#define N_OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- dispatch ---- */

static void explain_stream(struct daemon *d, const char *name, struct request *r)
{
    const char **known = calloc(d->n_streams + 1, sizeof *known), *nearest;
    size_t used;

    say(r, CONTROL_UNKNOWN_STREAM, "no stream '%.64s'; there are:", name);
    if (!known) return;
    for (size_t i = 0; i < d->n_streams; i++) {
        known[i] = d->streams[i].conf->name;
        used = strlen(r->text);
        snprintf(r->text + used, sizeof r->text - used, " %s", known[i]);
    }
    nearest = word_nearest(name, known);
    used = strlen(r->text);
    if (nearest) snprintf(r->text + used, sizeof r->text - used, "; nearest: %s", nearest);
    free(known);
}

static void run(struct request_ground *g, bool may_change, const Latent__V1__Request *request,
                struct request *r)
{
    struct stream *s = daemon_find_stream(g->daemon, request->stream);
    unsigned operation = (unsigned)request->operation;

    if (operation >= N_OPERATIONS || !operations[operation].run)
        say(r, CONTROL_UNKNOWN_OPERATION, "operation %u is not known to this version of latentd",
            operation);
    else if (!may_change && !operations[operation].only_tells)
        say(r, CONTROL_REFUSED,
            "this key may look, not change: it lacks the role operator in its [client NAME]");
    else if (operations[operation].needs_stream && !s)
        explain_stream(g->daemon, request->stream, r);
    else
        operations[operation].run(g, request, s, r);
}

struct request *request_take(struct request_ground *g, bool may_change, const void *bytes,
                             size_t n_bytes)
{
    Latent__V1__Request *request = bytes ? latent__v1__request__unpack(NULL, n_bytes, bytes) : NULL;
    struct request *r = calloc(1, sizeof *r);

    if (r) {
        latent__v1__reply__init(&r->reply);
        r->t_taken_ns = clock_now_ns();
        if (request)
            run(g, may_change, request, r);
        else
            say(r, CONTROL_UNREADABLE, "not a Request of latent.proto; use latentctl");
    }
    if (request) latent__v1__request__free_unpacked(request, NULL);
    return r;
}

bool request_is_answered(struct request *r)
{
    if (r->look && r->look(r, clock_now_ns())) r->look = NULL;
    return !r->look;
}

void request_give_up(struct request *r, const char *why)
{
    if (request_is_answered(r)) return;
    if (r->start) record_start_give_up(r->start);
    r->look = NULL;
    say(r, CONTROL_NOT_DONE, "NOT DONE: %s", why);
}

void *request_reply(struct request *r, size_t *n_reply)
{
    uint8_t *bytes;

    r->reply.text = printable(r->text); /* a request's words may be quoted in it */
    *n_reply = latent__v1__reply__get_packed_size(&r->reply);
    bytes = malloc(*n_reply + 1);
    if (bytes) latent__v1__reply__pack(&r->reply, bytes);
    return bytes;
}

void request_free(struct request *r)
{
    status_free(&r->status);
    free(r);
}
