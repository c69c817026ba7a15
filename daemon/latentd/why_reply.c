/* Filled from a copy: what is kept goes on changing. */
#include "latentd/why_reply.h"

#include <stdlib.h>

#include "base/clock.h"
#include "line/ledger.h"

/* protobuf-c has no const; packing only reads. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void fill_waits(struct why_reply *w, size_t i)
{
    struct why_bin *b = &w->seen.bins[i];

    for (size_t k = 0; k < b->n_waits; k++) {
        Latent__V1__Wait *m = &w->wait[i][k];

        latent__v1__wait__init(m);
        m->part = text(why_part_name(b->waits[k].part));
        m->stream = b->waits[k].stream;
        m->ns = b->waits[k].ns;
        w->waits[i][k] = m;
    }
    w->bin[i].n_waits = b->n_waits;
    w->bin[i].waits = w->waits[i];
}

static void fill_bin(struct why_reply *w, size_t i, uint64_t utc_offset_ns)
{
    const struct why_bin *b = &w->seen.bins[i];
    Latent__V1__LateBin *m = &w->bin[i];

    latent__v1__late_bin__init(m);
    m->epoch = b->bin.epoch;
    m->seq = b->bin.seq;
    m->t_source_ns = b->bin.t_source_ns;
    m->since = text(late_since_name(b->bin.since));
    m->t_since_ns = b->bin.t_since_ns;
    m->t_recv_ns = b->bin.t_recv_ns;
    m->t_start_ns = b->bin.t_start_ns;
    m->t_publish_ns = b->bin.t_publish_ns;
    m->t_done_ns = b->bin.t_done_ns;
    m->n_before = b->bin.n_before;
    m->flags = b->bin.flags;
    m->outcome = text(counter_name(b->bin.outcome));
    m->budget_ns = b->bin.budget_ns;
    m->knows_spans = b->knows_spans;
    m->knows_processor = b->knows_processor;
    m->steal_ns = b->steal_ns;
    m->steal_of_ns = b->steal_of_ns;
    m->utc_ns = b->bin.t_publish_ns + utc_offset_ns;
    fill_waits(w, i);
    w->bins[i] = m;
}

struct why_reply *why_reply_new(struct lateness *l, size_t i, const char *name)
{
    struct why_reply *w = calloc(1, sizeof *w);

    if (!w) return NULL;
    lateness_read(l, i, &w->seen);
    latent__v1__why__init(&w->message);
    w->message.stream = text(name);
    w->message.n_late = w->seen.n_late;
    w->message.n_lost = w->seen.n_lost;
    for (size_t k = 0; k < w->seen.n; k++) fill_bin(w, k, clock_wall_ns() - clock_now_ns());
    w->message.n_bins = w->seen.n;
    w->message.bins = w->bins;
    return w;
}

bool why_reply_only(struct why_reply *w, uint64_t seq)
{
    for (size_t i = w->seen.n; i > 0; i--) {
        if (w->bin[i - 1].seq != seq) continue;
        w->message.n_bins = 1;
        w->message.bins = &w->bins[i - 1];
        return true;
    }
    return false;
}

void why_reply_free(struct why_reply *w)
{
    free(w);
}
