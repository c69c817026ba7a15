/* Request -> operation -> Reply. */
#include "latentd/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/words.h"
#include "latent.pb-c.h"
#include "latentd/recording.h"
#include "latentd/status.h"

#define TEXT_BYTES 512

enum request_code {
    REQUEST_DONE = 0,
    REQUEST_UNREADABLE = -1,
    REQUEST_UNKNOWN_OPERATION = -2,
    REQUEST_UNKNOWN_STREAM = -3,
    REQUEST_NO_MEMORY = -4,
    REQUEST_REFUSED = -5,
};

struct answer {
    Latent__V1__Reply reply;
    struct status status;
    char text[TEXT_BYTES];
};

__attribute__((format(printf, 3, 4))) static void say(struct answer *a, enum request_code code,
                                                      const char *format, ...)
{
    va_list args;

    a->reply.code = code;
    va_start(args, format);
    vsnprintf(a->text, sizeof a->text, format, args);
    va_end(args);
}

/* ---- operations ---- */

typedef void operation_fn(struct daemon *d, const Latent__V1__Request *request, struct stream *s,
                          struct answer *a);

static void give_status(struct daemon *d, struct stream *only, struct answer *a)
{
    if (status_build(&a->status, d, only))
        say(a, REQUEST_NO_MEMORY, "out of memory for the status");
    else
        a->reply.status = &a->status.message;
}

static void on_status(struct daemon *d, const Latent__V1__Request *request, struct stream *s,
                      struct answer *a)
{
    (void)request;
    (void)s;
    give_status(d, NULL, a);
}

static void on_model(struct daemon *d, const Latent__V1__Request *request, struct stream *s,
                     struct answer *a)
{
    (void)request;
    give_status(d, s, a);
}

static void on_reset(struct daemon *d, const Latent__V1__Request *request, struct stream *s,
                     struct answer *a)
{
    if (request->dry_run) {
        say(a, REQUEST_DONE, "%s would be reset before its next bin", s->conf->name);
        return;
    }
    atomic_store(&s->reset_wanted, true);
    for (size_t i = 0; i < d->n_loops; i++) data_loop_wake(&d->loops[i]);
    say(a, REQUEST_DONE, "%s is reset before its next bin", s->conf->name);
}

static void on_safe(struct daemon *d, const Latent__V1__Request *request, struct stream *s,
                    struct answer *a)
{
    bool on = request->operation == LATENT__V1__OPERATION__SAFE_ON;
    const char *what = on ? "SAFE" : "no longer held in SAFE";

    if (request->dry_run) {
        say(a, REQUEST_DONE, "%s would be %s", s->conf->name, what);
        return;
    }
    atomic_store(&s->safe_wanted, on ? STREAM_SAFE_ON : STREAM_SAFE_OFF);
    for (size_t i = 0; i < d->n_loops; i++) data_loop_wake(&d->loops[i]);
    say(a, REQUEST_DONE, "%s is %s", s->conf->name, what);
}

static void on_record_start(struct daemon *d, const Latent__V1__Request *request, struct stream *s,
                            struct answer *a)
{
    struct latent_error err = {0};
    int status = recording_start(s, request->path, request->dry_run, &err);

    (void)d;
    say(a, status ? REQUEST_REFUSED : REQUEST_DONE, "%s", err.text);
}

static void on_record_stop(struct daemon *d, const Latent__V1__Request *request, struct stream *s,
                           struct answer *a)
{
    struct latent_error err = {0};
    int status = recording_stop(s, request->dry_run, &err);

    (void)d;
    say(a, status ? REQUEST_REFUSED : REQUEST_DONE, "%s", err.text);
}

/* only_tells: for monitors too. What is not marked so is for operators. */
static const struct {
    operation_fn *run;
    bool needs_stream, only_tells;
} operations[] = {
    [LATENT__V1__OPERATION__STATUS] = {on_status, false, true},
    [LATENT__V1__OPERATION__RESET] = {on_reset, true, false},
    [LATENT__V1__OPERATION__MODEL] = {on_model, true, true},
    [LATENT__V1__OPERATION__SAFE_ON] = {on_safe, true, false},
    [LATENT__V1__OPERATION__SAFE_OFF] = {on_safe, true, false},
    [LATENT__V1__OPERATION__RECORD_START] = {on_record_start, true, false},
    [LATENT__V1__OPERATION__RECORD_STOP] = {on_record_stop, true, false},
};
#define N_OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- dispatch ---- */

static void explain_stream(struct daemon *d, const char *name, struct answer *a)
{
    const char **known = calloc(d->n_streams + 1, sizeof *known), *nearest;
    size_t used;

    say(a, REQUEST_UNKNOWN_STREAM, "no stream '%.64s'; there are:", name);
    if (!known) return;
    for (size_t i = 0; i < d->n_streams; i++) {
        known[i] = d->streams[i].conf->name;
        used = strlen(a->text);
        snprintf(a->text + used, sizeof a->text - used, " %s", known[i]);
    }
    nearest = word_nearest(name, known);
    used = strlen(a->text);
    if (nearest) snprintf(a->text + used, sizeof a->text - used, "; nearest: %s", nearest);
    free(known);
}

static void run(struct daemon *d, bool may_change, const Latent__V1__Request *request,
                struct answer *a)
{
    struct stream *s = daemon_find_stream(d, request->stream);
    unsigned operation = (unsigned)request->operation;

    if (operation >= N_OPERATIONS || !operations[operation].run)
        say(a, REQUEST_UNKNOWN_OPERATION, "operation %u is not known to this version of latentd",
            operation);
    else if (!may_change && !operations[operation].only_tells)
        say(a, REQUEST_REFUSED,
            "this key may look, not change: it lacks the role operator in its [client NAME]");
    else if (operations[operation].needs_stream && !s)
        explain_stream(d, request->stream, a);
    else
        operations[operation].run(d, request, s, a);
}

static void *pack(struct answer *a, size_t *n_reply)
{
    uint8_t *bytes;

    a->reply.text = printable(a->text); /* a request's words may be quoted in it */
    *n_reply = latent__v1__reply__get_packed_size(&a->reply);
    bytes = malloc(*n_reply + 1);
    if (bytes) latent__v1__reply__pack(&a->reply, bytes);
    return bytes;
}

void *request_answer(struct daemon *d, bool may_change, const void *bytes, size_t n_bytes,
                     size_t *n_reply)
{
    Latent__V1__Request *request = bytes ? latent__v1__request__unpack(NULL, n_bytes, bytes) : NULL;
    struct answer a = {.reply = LATENT__V1__REPLY__INIT};
    void *reply;

    if (request)
        run(d, may_change, request, &a);
    else
        say(&a, REQUEST_UNREADABLE, "not a Request of latent.proto; use latentctl");
    reply = pack(&a, n_reply);
    status_free(&a.status);
    if (request) latent__v1__request__free_unpacked(request, NULL);
    return reply;
}
