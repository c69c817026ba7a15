/* Arrays of structs, and of pointers to them. */
#include "why/message.h"

#include <stdlib.h>

#include "line/ledger.h"

/* protobuf-c has no const; packing only reads. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void fill_waits(struct why_message *w, size_t i, const struct why_bin *b)
{
    Latent__V1__LateBin *bin = &w->bin[i];

    bin->n_waits = b->n_waits;
    bin->waits = &w->waits[i * WHY_MAX_WAITS];
    for (size_t k = 0; k < b->n_waits; k++) {
        Latent__V1__Wait *m = &w->wait[i * WHY_MAX_WAITS + k];

        latent__v1__wait__init(m);
        m->part = text(why_part_name(b->waits[k].part));
        m->stream = text(b->waits[k].stream);
        m->ns = b->waits[k].ns;
        bin->waits[k] = m;
    }
}

static void fill_bin(struct why_message *w, size_t i, const struct why_bin *b,
                     uint64_t utc_offset_ns)
{
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
    w->bins[i] = m;
}

struct why_message *why_message_new(const char *stream, const struct why_bin *bins, size_t n,
                                    uint64_t utc_offset_ns)
{
    struct why_message *w = calloc(1, sizeof *w);

    if (!w) return NULL;
    w->bin = calloc(n + 1, sizeof *w->bin);
    w->bins = calloc(n + 1, sizeof *w->bins);
    w->wait = calloc((n + 1) * WHY_MAX_WAITS, sizeof *w->wait);
    w->waits = calloc((n + 1) * WHY_MAX_WAITS, sizeof *w->waits);
    if (!w->bin || !w->bins || !w->wait || !w->waits) {
        why_message_free(w);
        return NULL;
    }
    latent__v1__why__init(&w->message);
    w->message.stream = text(stream);
    for (size_t i = 0; i < n; i++) {
        fill_bin(w, i, &bins[i], utc_offset_ns);
        fill_waits(w, i, &bins[i]);
    }
    w->message.n_bins = n;
    w->message.bins = w->bins;
    return w;
}

bool why_message_only(struct why_message *w, uint64_t seq)
{
    for (size_t i = w->message.n_bins; i > 0; i--) {
        if (w->bins[i - 1]->seq != seq) continue;
        w->message.n_bins = 1;
        w->message.bins = &w->bins[i - 1];
        return true;
    }
    return false;
}

void why_message_free(struct why_message *w)
{
    if (!w) return;
    free(w->bin);
    free(w->bins);
    free(w->wait);
    free(w->waits);
    free(w);
}
