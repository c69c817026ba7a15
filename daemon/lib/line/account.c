/* Every change becomes visible to readers as a whole. */
#include "line/account.h"

#include <assert.h>

static void tell(struct pipeline *p, enum counter outcome, uint64_t epoch, uint64_t seq)
{
    const struct line_event event = {
        .kind = LINE_OUTCOME, .what = outcome, .epoch = epoch, .seq = seq};

    line_tell(p, &event);
}

void account_message(struct pipeline *p, enum wire_refusal refusal)
{
    assert(refusal <= WIRE_REFUSED_SEQUENCE); /* values are judged bin by bin */
    ledger_open(&p->ledger);
    ledger_add(&p->ledger, MESSAGES_IN, 1);
    ledger_add(&p->ledger, MESSAGES_ACCEPTED + refusal, 1);
    ledger_close(&p->ledger);
    tell(p, MESSAGES_ACCEPTED + refusal, 0, 0);
}

static void account_bin_in(struct pipeline *p, enum counter outcome)
{
    ledger_add(&p->ledger, BINS_IN, 1);
    ledger_add(&p->ledger, outcome, 1);
}

void account_dropped(struct pipeline *p, enum counter outcome, uint64_t epoch, uint64_t seq)
{
    ledger_open(&p->ledger);
    account_bin_in(p, outcome);
    ledger_close(&p->ledger);
    tell(p, outcome, epoch, seq);
}

void account_sequence(struct pipeline *p)
{
    ledger_open(&p->ledger);
    ledger_set(&p->ledger, SEQUENCE_LOST, p->state.sequence.n_lost);
    ledger_set(&p->ledger, SEQUENCE_REORDERED, p->state.sequence.n_reordered);
    ledger_set(&p->ledger, SEQUENCE_RESTARTS, p->state.sequence.n_restarts);
    ledger_close(&p->ledger);
}

void account_reset(struct pipeline *p)
{
    ledger_open(&p->ledger);
    ledger_add(&p->ledger, SEQUENCE_RESETS, 1);
    ledger_close(&p->ledger);
}

static void account_flags(struct pipeline *p, uint32_t flags)
{
    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++)
        if (flags & 1u << bit) ledger_add(&p->ledger, FLAGS_FIRST + bit, 1);
}

/* Why the frame was due, and what became of it. */
static void tell_frame(struct pipeline *p, const struct passage *b, enum counter due_as)
{
    tell(p, due_as, b->frame.epoch, b->frame.seq);
    tell(p, b->outcome, b->frame.epoch, b->frame.seq);
}

static enum pipeline_state state_after(const struct pipeline *p, const struct passage *b)
{
    static const enum pipeline_state safe[SAFE_N_REASONS] = {
        [SAFE_LEASE] = PIPELINE_SAFE_LEASE,       [SAFE_MISSING] = PIPELINE_SAFE_MISSING,
        [SAFE_LATE] = PIPELINE_SAFE_LATE,         [SAFE_OUTPUT] = PIPELINE_FAILED,
        [SAFE_OPERATOR] = PIPELINE_SAFE_OPERATOR, [SAFE_STOP] = PIPELINE_STOPPING,
    };

    if (p->state.safe.on) return safe[p->state.safe.reason];
    if (!b->t_arrived_ns) return PIPELINE_SILENT;
    return b->frame.values.flags & LATENT_OUTSIDE ? PIPELINE_OUTSIDE : PIPELINE_RUNNING;
}

static void account_frame(struct pipeline *p, const struct passage *b)
{
    ledger_add(&p->ledger, FRAMES_DUE, 1);
    ledger_add(&p->ledger, b->outcome, 1);
    if (b->outcome == FRAMES_PUBLISHED) account_flags(p, b->frame.values.flags);
    ledger_set(&p->ledger, STATE_STATE, state_after(p, b));
}

static void account_times(struct pipeline *p, const struct passage *b)
{
    uint64_t t_recv = b->frame.t_recv_ns, t_publish = b->frame.t_publish_ns;
    uint64_t latency = t_publish - t_recv;

    histogram_add(&p->times[TIME_QUEUEING], b->t_start_ns - t_recv);
    histogram_add(&p->times[TIME_DECODING], t_publish - b->t_start_ns);
    histogram_add(&p->times[TIME_PUBLISHING], b->t_done_ns - t_publish);
    histogram_add(&p->times[TIME_LATENCY], latency);
    if (latency > p->options.budget_ns) ledger_add(&p->ledger, STATE_BUDGET_MISSES, 1);
}

void account_decoded(struct pipeline *p, const struct passage *b)
{
    ledger_open(&p->ledger);
    account_bin_in(p, BINS_DECODED);
    account_frame(p, b);
    account_times(p, b);
    ledger_set(&p->ledger, STATE_LAST_SEQ, b->frame.seq);
    ledger_set(&p->ledger, STATE_LAST_EPOCH, b->frame.epoch);
    ledger_close(&p->ledger);
    tell_frame(p, b, BINS_DECODED);
}

void account_made(struct pipeline *p, const struct passage *b, enum counter made_as)
{
    ledger_open(&p->ledger);
    ledger_add(&p->ledger, made_as, 1);
    account_frame(p, b);
    ledger_close(&p->ledger);
    tell_frame(p, b, made_as);
}
