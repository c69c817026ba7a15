/* Two clocks run from the last bin: missing-after starts on-missing, the lease
 * forces SAFE so early that the readout is neutral when it is over. */
#include "line/silence.h"

#include "line/account.h"
#include "line/decode.h"
#include "line/publish.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- when ---- */

/* SAFE is not held up on its way to neutral: there is a frame at the ramp's
 * end. */
static void set_ramp_end(struct pipeline *p)
{
    struct silence *s = &p->state.silence;
    const struct safe *safe = &p->state.safe;

    if (safe->on && !safe->arrived) s->t_due_ns = least(s->t_due_ns, safe->t_end_ns);
}

/* SAFE goes on whether or not on-missing asks for frames. */
void silence_on_heard(struct pipeline *p, uint64_t t_recv_ns)
{
    const struct line_policy *policy = &p->options.policy;
    struct silence *s = &p->state.silence;
    const struct safe *safe = &p->state.safe;
    bool speaks = policy->on_missing != ON_MISSING_SKIP || safe->on;

    s->heard = true;
    s->t_due_ns = LINE_NEVER;
    if (policy->missing_after_ns && speaks) s->t_due_ns = t_recv_ns + policy->missing_after_ns;
    set_ramp_end(p);
}

void silence_on_decoded(struct pipeline *p, uint64_t t_recv_ns)
{
    p->state.silence.t_decoded_ns = t_recv_ns;
    silence_on_heard(p, t_recv_ns);
}

void silence_break(struct pipeline *p, uint64_t now_ns)
{
    p->state.silence.t_due_ns = now_ns;
}

static uint64_t lease_end_ns(const struct pipeline *p)
{
    const struct silence *s = &p->state.silence;
    uint64_t lease_ns = p->options.policy.lease_ns;

    return s->heard && lease_ns ? s->t_decoded_ns + lease_ns : LINE_NEVER;
}

/* When the ramp must begin for the readout to be neutral at the lease's end. */
static uint64_t lease_start_ns(const struct pipeline *p)
{
    uint64_t end_ns = lease_end_ns(p), ramp_ns = p->options.policy.safe_ramp_ns;

    if (end_ns == LINE_NEVER || p->state.safe.on) return LINE_NEVER;
    return end_ns - least(ramp_ns, p->options.policy.lease_ns);
}

uint64_t silence_next_ns(const struct pipeline *p)
{
    return least(p->state.silence.t_due_ns, lease_start_ns(p));
}

/* The first of the periods after this one that is not over yet. */
static void set_next(struct pipeline *p, uint64_t now_ns)
{
    struct silence *s = &p->state.silence;
    uint64_t n_over = (now_ns - s->t_due_ns) / p->bin_ns;

    s->t_due_ns += (n_over + 1) * p->bin_ns;
}

/* ---- what ---- */

/* Frames without a bin of their own repeat the newest number. */
static void repeat(struct pipeline *p)
{
    struct passage b = {
        .frame = {.epoch = p->state.sequence.epoch, .seq = p->state.sequence.newest},
        .repeats = true};

    publish_frame(p, &b);
    account_made(p, &b, SEQUENCE_MISSING);
}

static void enter_safe(struct pipeline *p, enum safe_reason reason, uint64_t now_ns)
{
    publish_enter_safe(p, reason, now_ns, lease_end_ns(p));
}

static void make_one(struct pipeline *p, uint64_t now_ns)
{
    const struct line_policy *policy = &p->options.policy;
    bool predicts = policy->on_missing == ON_MISSING_PREDICT && !p->state.safe.on;

    if (predicts && decode_ahead(p)) return;
    if (predicts || (policy->on_missing == ON_MISSING_SAFE && !p->state.safe.on))
        enter_safe(p, SAFE_MISSING, now_ns);
    repeat(p);
}

void silence_on_tick(struct pipeline *p, uint64_t now_ns)
{
    struct silence *s = &p->state.silence;

    if (now_ns >= lease_start_ns(p)) {
        enter_safe(p, SAFE_LEASE, now_ns);
        silence_break(p, now_ns);
    }
    if (now_ns < s->t_due_ns) return;
    if (p->options.policy.on_missing == ON_MISSING_SKIP && !p->state.safe.on) {
        s->t_due_ns = LINE_NEVER;
        return;
    }
    set_next(p, now_ns);
    make_one(p, now_ns);
    set_ramp_end(p);
}
