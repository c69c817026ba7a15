/* Every change becomes visible to readers as a whole. */
#include "line/account.h"

#include <assert.h>

static void tell(struct line *line, enum counter outcome, uint64_t epoch, uint64_t seq)
{
    const struct line_event event = {
        .kind = LINE_OUTCOME, .what = outcome, .epoch = epoch, .seq = seq};

    line_tell(line, &event);
}

void account_message(struct line *line, enum wire_refusal refusal)
{
    assert(refusal <= WIRE_REFUSED_SEQUENCE); /* values are judged bin by bin */
    ledger_open(&line->ledger);
    ledger_add(&line->ledger, MESSAGES_IN, 1);
    ledger_add(&line->ledger, MESSAGES_ACCEPTED + refusal, 1);
    ledger_close(&line->ledger);
    tell(line, MESSAGES_ACCEPTED + refusal, 0, 0);
}

static void account_bin_in(struct line *line, enum counter outcome)
{
    ledger_add(&line->ledger, BINS_IN, 1);
    ledger_add(&line->ledger, outcome, 1);
}

void account_dropped(struct line *line, enum counter outcome, uint64_t epoch, uint64_t seq)
{
    ledger_open(&line->ledger);
    account_bin_in(line, outcome);
    ledger_close(&line->ledger);
    tell(line, outcome, epoch, seq);
}

void account_sequence(struct line *line)
{
    ledger_open(&line->ledger);
    ledger_set(&line->ledger, SEQUENCE_LOST, line->state.sequence.n_lost);
    ledger_set(&line->ledger, SEQUENCE_REORDERED, line->state.sequence.n_reordered);
    ledger_set(&line->ledger, SEQUENCE_RESTARTS, line->state.sequence.n_restarts);
    ledger_close(&line->ledger);
}

void account_reset(struct line *line)
{
    ledger_open(&line->ledger);
    ledger_add(&line->ledger, SEQUENCE_RESETS, 1);
    ledger_close(&line->ledger);
}

static void account_flags(struct line *line, uint32_t flags)
{
    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++)
        if (flags & 1u << bit) ledger_add(&line->ledger, FLAGS_FIRST + bit, 1);
}

/* Why the frame was due, and what became of it. */
static void tell_frame(struct line *line, const struct bin_frame *b, enum counter due_as)
{
    tell(line, due_as, b->frame.epoch, b->frame.seq);
    tell(line, b->outcome, b->frame.epoch, b->frame.seq);
}

static enum line_state state_after(const struct line *line, const struct bin_frame *b)
{
    static const enum line_state safe[SAFE_N_REASONS] = {
        [SAFE_LEASE] = LINE_STATE_SAFE_LEASE,       [SAFE_MISSING] = LINE_STATE_SAFE_MISSING,
        [SAFE_LATE] = LINE_STATE_SAFE_LATE,         [SAFE_OUTPUT] = LINE_STATE_FAILED,
        [SAFE_OPERATOR] = LINE_STATE_SAFE_OPERATOR, [SAFE_STOP] = LINE_STATE_STOPPING,
        [SAFE_START] = LINE_STATE_SAFE_START,       [SAFE_SIGNAL] = LINE_STATE_SAFE_SIGNAL,
        [SAFE_MASKED] = LINE_STATE_SAFE_MASKED,
    };

    if (line->state.safe.on) return safe[line->state.safe.reason];
    if (!b->t_arrived_ns) return LINE_STATE_SILENT;
    if (b->no_signal) return LINE_STATE_NO_SIGNAL;
    return b->frame.values.flags & LATENT_OUTSIDE ? LINE_STATE_OUTSIDE : LINE_STATE_RUNNING;
}

static void account_frame(struct line *line, const struct bin_frame *b)
{
    ledger_add(&line->ledger, FRAMES_DUE, 1);
    ledger_add(&line->ledger, b->outcome, 1);
    if (b->outcome == FRAMES_PUBLISHED) {
        account_flags(line, b->frame.values.flags);
        latest_set_frame(&line->latest, &b->frame);
    }
    ledger_set(&line->ledger, STATE_STATE, state_after(line, b));
}

static void account_times(struct line *line, const struct bin_frame *b)
{
    uint64_t t_recv = b->frame.t_recv_ns, t_publish = b->frame.t_publish_ns;
    uint64_t latency = t_publish - t_recv;

    histogram_add(&line->times[TIME_QUEUEING], b->t_start_ns - t_recv);
    histogram_add(&line->times[TIME_DECODING], t_publish - b->t_start_ns);
    histogram_add(&line->times[TIME_PUBLISHING], b->t_done_ns - t_publish);
    histogram_add(&line->times[TIME_LATENCY], latency);
    if (latency > line->options.budget_ns) ledger_add(&line->ledger, STATE_BUDGET_MISSES, 1);
}

/* The ledger last: whoever sees the bin in it finds the rest. */
void account_decoded(struct line *line, const struct bin_frame *b)
{
    latest_set_bin(&line->latest, b->frame.t_recv_ns);
    late_on_decoded(line, b);
    ledger_open(&line->ledger);
    account_bin_in(line, BINS_DECODED);
    account_frame(line, b);
    account_times(line, b);
    ledger_set(&line->ledger, STATE_LAST_SEQ, b->frame.seq);
    ledger_set(&line->ledger, STATE_LAST_EPOCH, b->frame.epoch);
    ledger_close(&line->ledger);
    tell_frame(line, b, BINS_DECODED);
}

void account_made(struct line *line, const struct bin_frame *b, enum counter made_as)
{
    ledger_open(&line->ledger);
    ledger_add(&line->ledger, made_as, 1);
    account_frame(line, b);
    ledger_close(&line->ledger);
    tell_frame(line, b, made_as);
}
