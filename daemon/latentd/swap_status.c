/* Counters, times and agreement of the shadow, laid out as protobuf-c wants them. */
#include "latentd/swap_status.h"

#include <stdint.h>
#include <stdio.h>

#include "base/text.h"
#include "latentd/stream.h"

/* protobuf-c has no const; packing only reads. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static const char *state_of(const struct swap *w, const struct shadow_status *s)
{
    if (w->order.number) return w->why == PROMOTE_ASKED ? "promoting" : "rolling-back";
    if (w->state == SWAP_SHADOWING && s->is_priming) return "priming";
    return swap_state_name(w->state);
}

static void fill_counts(struct swap_status *b, const struct swap *w)
{
    const struct shadow_status *s = &b->shadow;
    const struct {
        const char *name;
        uint64_t value;
    } counts[SWAP_STATUS_COUNTS] = {
        {"bins", s->n_steps},
        {"clean", s->n_clean},
        {"primed", s->n_primed},
        {"losses", s->n_losses},
        {"lost", s->n_lost},
        {"non_finite", s->n_bad},
        {"behind", s->behind},
        {"promotions", w->n_promotions},
        {"roll_backs", w->n_roll_backs},
    };

    for (size_t i = 0; i < SWAP_STATUS_COUNTS; i++) {
        latent__v1__counter__init(&b->count[i]);
        b->count[i].name = text(counts[i].name);
        b->count[i].value = counts[i].value;
        b->counts[i] = &b->count[i];
    }
    b->message.n_counts = SWAP_STATUS_COUNTS;
    b->message.counts = b->counts;
}

static void fill_step(struct swap_status *b)
{
    const struct histogram_summary *h = &b->shadow.step;

    latent__v1__histogram__init(&b->step);
    b->step.name = text("step");
    b->step.n = h->n;
    b->step.p50 = h->p50_ns;
    b->step.p99 = h->p99_ns;
    b->step.p999 = h->p999_ns;
    b->step.max = h->max_ns;
    b->message.step = &b->step;
}

static void fill_agreement(struct swap_status *b, const struct swap *w)
{
    for (uint32_t o = 0; o < b->shadow.n_readout; o++) {
        Latent__V1__Agreement *m = &b->agreement[o];
        const struct agreement_summary *a = &b->shadow.agreement[o];

        latent__v1__agreement__init(m);
        m->name = text(w->other->info.readout[o].name);
        m->n = a->n;
        m->rms = a->rms;
        m->correlation = a->correlation;
        b->agreements[o] = m;
    }
    b->message.n_agreement = b->shadow.n_readout;
    b->message.agreement = b->agreements;
}

static uint64_t kept_for_ns(const struct swap *w, uint64_t now_ns)
{
    uint64_t end_ns = w->t_promoted_ns + w->stream->conf->values.keep_ns;

    return w->state == SWAP_KEEPING && end_ns > now_ns ? end_ns - now_ns : 0;
}

Latent__V1__SwapStatus *swap_status_fill(struct swap_status *b, struct swap *w, uint64_t now_ns)
{
    Latent__V1__SwapStatus *m = &b->message;

    if (!swap_is_active(w) && !w->newest[0]) return NULL;
    latent__v1__swap_status__init(m);
    if (w->shadow) shadow_read(w->shadow, &b->shadow);
    snprintf(b->newest, sizeof b->newest, "%s", w->newest);
    m->newest = printable(b->newest);
    m->state = text(state_of(w, &b->shadow));
    fill_counts(b, w);
    if (!w->other) return m;
    m->path = text(w->other->info.path);
    m->decoder_id = latent_decoder_id(w->other->decoder);
    m->arch = text(w->other->info.arch);
    m->mode = text(w->other->mode);
    m->precision = text(w->other->precision);
    m->is_exact = b->shadow.is_exact;
    m->kept_for_ns = kept_for_ns(w, now_ns);
    fill_step(b);
    fill_agreement(b, w);
    return m;
}
