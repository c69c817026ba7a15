/* Requests that are an order to one stream or to all of them, and their answers. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "latentd/request_inside.h"

/* The answers of all streams, and the worst of their codes. */
static void gather_answers(struct request *r)
{
    for (size_t i = 0; i < r->n_orderings; i++) {
        struct ordering *o = &r->orderings[i];
        Latent__V1__StreamReply *m = &r->stream_reply[i];

        latent__v1__stream_reply__init(m);
        m->code = o->code;
        m->text = printable(o->text);
        m->t_done_ns = o->t_done_ns;
        m->t_posted_ns = o->t_posted_ns;
        r->stream_replies[i] = m;
        if (o->t_done_ns > r->reply.t_done_ns) r->reply.t_done_ns = o->t_done_ns;
        if (o->code < r->reply.code) r->reply.code = o->code;
    }
    r->reply.n_streams = r->n_orderings;
    r->reply.streams = r->stream_replies;
    snprintf(r->text, sizeof r->text, "%zu streams were asked", r->n_orderings);
}

static bool look_orders(struct request *r, uint64_t now_ns)
{
    bool all = true;

    for (size_t i = 0; i < r->n_orderings; i++) all &= ordering_look(&r->orderings[i], now_ns);
    if (!all) return false;
    if (r->stream_replies) {
        gather_answers(r);
        return true;
    }
    r->reply.t_done_ns = r->orderings[0].t_done_ns;
    r->reply.t_posted_ns = r->orderings[0].t_posted_ns;
    request_say(r, r->orderings[0].code, "%s", r->orderings[0].text);
    return true;
}

bool request_order_alone(struct request *r)
{
    r->orderings = calloc(1, sizeof *r->orderings);
    if (!r->orderings) request_say(r, CONTROL_NO_MEMORY, "out of memory; nothing was ordered");
    r->n_orderings = r->orderings != NULL;
    r->look = r->orderings ? look_orders : NULL;
    return r->orderings != NULL;
}

void request_order(struct request_ground *g, const Latent__V1__Request *request,
                   struct stream *only, struct request *r, enum line_event_kind entry)
{
    struct daemon *d = g->daemon;
    struct stream **streams = only ? &only : d->streams;
    size_t n = only ? 1 : d->n_streams;

    r->orderings = calloc(n, sizeof *r->orderings);
    if (!only) {
        r->stream_reply = calloc(n, sizeof *r->stream_reply);
        r->stream_replies = calloc(n, sizeof(void *));
    }
    if (!r->orderings || (!only && (!r->stream_reply || !r->stream_replies))) {
        request_say(r, CONTROL_NO_MEMORY, "out of memory; nothing was ordered");
        return;
    }
    r->n_orderings = n;
    for (size_t i = 0; i < n; i++) {
        if (request->dry_run)
            ordering_would(&r->orderings[i], streams[i], entry);
        else
            ordering_post(&r->orderings[i], streams[i], &d->held, entry);
    }
    r->look = look_orders;
}
