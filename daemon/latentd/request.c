/* Request -> operation -> Reply, at once or when an order has been carried out. */
#include "latentd/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/words.h"
#include "latentd/request_inside.h"

/* ---- operations ---- */

static void give_status(struct daemon *d, struct stream *only, struct request *r)
{
    if (status_build(&r->status, d, only))
        request_say(r, CONTROL_NO_MEMORY, "out of memory for the status");
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

static void on_reset(struct request_ground *g, const Latent__V1__Request *request, struct stream *s,
                     struct request *r)
{
    request_order(g, request, s, r, LINE_RESET);
}

static void on_safe_on(struct request_ground *g, const Latent__V1__Request *request,
                       struct stream *s, struct request *r)
{
    request_order(g, request, s, r, LINE_SAFE_ON);
}

static void on_safe_off(struct request_ground *g, const Latent__V1__Request *request,
                        struct stream *s, struct request *r)
{
    request_order(g, request, s, r, LINE_SAFE_OFF);
}

/* ---- channels ---- */

static void on_channels(struct request_ground *g, const Latent__V1__Request *request,
                        struct stream *s, struct request *r)
{
    (void)request;
    if (status_build_channels(&r->status, g->daemon, s))
        request_say(r, CONTROL_NO_MEMORY, "out of memory for the channels");
    else
        r->reply.status = &r->status.message;
}

static void on_mask(struct request_ground *g, const Latent__V1__Request *request, struct stream *s,
                    struct request *r)
{
    char why[REQUEST_TEXT / 2];
    uint8_t *bits = masking_change(&s->masking, request->mask, request->unmask, why, sizeof why);

    (void)g;
    if (!bits) {
        request_say(r, CONTROL_REFUSED, "%s: %s", s->conf->name, why);
        return;
    }
    if (request_order_alone(r))
        (request->dry_run ? ordering_would_mask : ordering_mask)(r->orderings, s, bits);
    if (r->n_orderings && r->orderings->order.number)
        channel_watch_obey(&s->watch, request->mask, request->unmask);
    free(bits);
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
    request_say(r, codes[answer], "%s", told->text);
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
    enum recording_answer answer;

    if (g->daemon->lateness) lateness_record(g->daemon->lateness);
    answer = recording_stop(&s->recording, request->dry_run, &told);
    r->stream = s;
    if (!say_recording(r, answer, &told)) r->look = look_record_stop;
}

/* ---- the configuration ---- */

static bool look_reload(struct request *r, uint64_t now_ns)
{
    static const enum control_code codes[] = {[RELOAD_DONE] = CONTROL_DONE,
                                              [RELOAD_REFUSED] = CONTROL_REFUSED,
                                              [RELOAD_NOT_DONE] = CONTROL_NOT_DONE};
    char text[RELOAD_TEXT];
    enum reload_answer answer = reload_look(r->reload, now_ns, text);

    if (answer == RELOAD_OWED) return false;
    r->reload = NULL;
    request_say(r, codes[answer], "%s", text);
    return true;
}

static void on_reload(struct request_ground *g, const Latent__V1__Request *request,
                      struct stream *s, struct request *r)
{
    (void)s;
    r->reload = reload_new(g->daemon, g->loop, request->dry_run);
    if (r->reload)
        r->look = look_reload;
    else
        request_say(r, CONTROL_REFUSED,
                    "another reload is under way, or streams that left are being closed; "
                    "try again");
}

/* only_tells: for monitors too. What is not marked so is for operators. */
static const struct {
    operation_fn *run;
    bool needs_stream, only_tells, takes_all;
} operations[] = {
    [LATENT__V1__OPERATION__STATUS] = {on_status, false, true},
    [LATENT__V1__OPERATION__RESET] = {on_reset, true, false},
    [LATENT__V1__OPERATION__MODEL] = {on_model, true, true},
    [LATENT__V1__OPERATION__SAFE_ON] = {on_safe_on, true, false, .takes_all = true},
    [LATENT__V1__OPERATION__SAFE_OFF] = {on_safe_off, true, false, .takes_all = true},
    [LATENT__V1__OPERATION__RECORD_START] = {on_record_start, true, false},
    [LATENT__V1__OPERATION__RECORD_STOP] = {on_record_stop, true, false},
    [LATENT__V1__OPERATION__SHADOW] = {request_load, true, false},
    [LATENT__V1__OPERATION__LOAD] = {request_load, true, false},
    [LATENT__V1__OPERATION__PROMOTE] = {request_promote, true, false},
    [LATENT__V1__OPERATION__ROLL_BACK] = {request_roll_back, true, false},
    [LATENT__V1__OPERATION__DROP] = {request_drop, true, false},
    [LATENT__V1__OPERATION__WHY] = {request_why, true, true},
    [LATENT__V1__OPERATION__CHANNELS] = {on_channels, true, true},
    [LATENT__V1__OPERATION__MASK] = {on_mask, true, false},
    [LATENT__V1__OPERATION__RELOAD] = {on_reload, false, false},
    [LATENT__V1__OPERATION__NORMALISE_FREEZE] = {request_normalise, true, false},
    [LATENT__V1__OPERATION__NORMALISE_THAW] = {request_normalise, true, false},
    [LATENT__V1__OPERATION__NORMALISE_RESET] = {request_normalise, true, false},
    [LATENT__V1__OPERATION__NORMALISE_LOAD] = {request_normalise, true, false},
    [LATENT__V1__OPERATION__NORMALISE_SAVE] = {request_tell_normalisation, true, false},
};
#define N_OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- dispatch ---- */

static void explain_stream(struct daemon *d, const char *name, struct request *r)
{
    const char **known = calloc(d->n_streams + 1, sizeof *known), *nearest;
    size_t used;

    request_say(r, CONTROL_UNKNOWN_STREAM, "no stream '%.64s'; there are:", name);
    if (!known) return;
    for (size_t i = 0; i < d->n_streams; i++) {
        known[i] = d->streams[i]->conf->name;
        used = strlen(r->text);
        snprintf(r->text + used, sizeof r->text - used, " %s", known[i]);
    }
    nearest = word_nearest(name, known);
    used = strlen(r->text);
    if (nearest) snprintf(r->text + used, sizeof r->text - used, "; nearest: %s", nearest);
    free(known);
}

static void run(struct request_ground *g, enum request_right right,
                const Latent__V1__Request *request, struct request *r)
{
    struct stream *s = daemon_find_stream(g->daemon, request->stream);
    unsigned operation = (unsigned)request->operation;
    bool all = request->all && !request->stream[0];

    if (right == REQUEST_NOTHING)
        request_say(r, CONTROL_REFUSED, "this key is no longer in force here");
    else if (operation >= N_OPERATIONS || !operations[operation].run)
        request_say(r, CONTROL_UNKNOWN_OPERATION,
                    "operation %u is not known to this version of latentd", operation);
    else if (right != REQUEST_CHANGES && !operations[operation].only_tells)
        request_say(
            r, CONTROL_REFUSED,
            "this key may look, not change: it lacks the role operator in its [client NAME]");
    else if (operations[operation].needs_stream && !s && !(all && operations[operation].takes_all))
        explain_stream(g->daemon, request->stream, r);
    else
        operations[operation].run(g, request, s, r);
}

struct request *request_take(struct request_ground *g, enum request_right right, const void *bytes,
                             size_t n_bytes)
{
    Latent__V1__Request *request = bytes ? latent__v1__request__unpack(NULL, n_bytes, bytes) : NULL;
    struct request *r = calloc(1, sizeof *r);

    if (r) {
        latent__v1__reply__init(&r->reply);
        r->t_taken_ns = clock_now_ns();
        if (request)
            run(g, right, request, r);
        else
            request_say(r, CONTROL_UNREADABLE, "not a Request of latent.proto; use latentctl");
    }
    if (request) latent__v1__request__free_unpacked(request, NULL);
    return r;
}

bool request_is_answered(struct request *r)
{
    if (r->look && r->look(r, clock_now_ns())) r->look = NULL;
    return !r->look;
}

bool request_is_about(const struct request *r, const struct leave *leave)
{
    for (size_t i = 0; i < r->n_orderings; i++)
        if (leave_has(leave, r->orderings[i].stream)) return true;
    return leave_has(leave, r->stream);
}

void request_give_up(struct request *r, const char *why)
{
    if (request_is_answered(r)) return;
    if (r->start) record_start_give_up(r->start);
    if (r->reload) reload_give_up(r->reload);
    r->n_orderings = 0;
    r->look = NULL;
    request_say(r, CONTROL_NOT_DONE, "NOT DONE: %s", why);
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
    why_message_free(r->why);
    free(r->seen);
    free(r->orderings);
    free(r->numbers);
    free(r->stream_reply);
    free(r->stream_replies);
    free(r);
}
