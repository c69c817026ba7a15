/* Two clocks run from the last bin: missing-after starts on-missing, the lease
 * forces SAFE so early that the readout is neutral when it is over. */
#include "line/silence.h"

#include "line/account.h"
#include "line/decode.h"
#include "line/lease.h"
#include "line/publish.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- when ---- */

/* SAFE is not held up on its way to neutral: there is a frame at the ramp's
 * end. */
static void set_ramp_end(struct line *line)
{
    struct silence *s = &line->state.silence;
    const struct safe *safe = &line->state.safe;

    if (safe->on && !safe->arrived) s->t_due_ns = least(s->t_due_ns, safe->t_end_ns);
}

/* SAFE goes on whether or not on-missing asks for frames. */
void silence_on_heard(struct line *line, uint64_t t_recv_ns)
{
    const struct line_policy *policy = &line->options.policy;
    struct silence *s = &line->state.silence;
    const struct safe *safe = &line->state.safe;
    bool speaks = policy->on_missing != ON_MISSING_SKIP || safe->on;

    s->heard = true;
    s->t_due_ns = LINE_NEVER;
    if (policy->missing_after_ns && speaks) s->t_due_ns = t_recv_ns + policy->missing_after_ns;
    set_ramp_end(line);
}

void silence_on_decoded(struct line *line, uint64_t t_recv_ns)
{
    line->state.silence.t_decoded_ns = t_recv_ns;
    silence_on_heard(line, t_recv_ns);
}

void silence_break(struct line *line, uint64_t now_ns)
{
    line->state.silence.t_due_ns = now_ns;
}

/* Bins that wait make SAFE's frames, unless none of them gets that far. */
static uint64_t frame_due_ns(const struct line *line, bool input_waits)
{
    uint64_t t_due_ns = line->state.silence.t_due_ns;

    if (!input_waits || t_due_ns == LINE_NEVER) return t_due_ns;
    return line->state.safe.on ? t_due_ns + line->bin_ns : LINE_NEVER;
}

uint64_t silence_next_ns(const struct line *line, bool input_waits)
{
    return least(frame_due_ns(line, input_waits), lease_start_ns(line, input_waits));
}

/* The first of the periods after this one that is not over yet. */
static void set_next(struct line *line, uint64_t now_ns)
{
    struct silence *s = &line->state.silence;
    uint64_t n_over = (now_ns - s->t_due_ns) / line->bin_ns;

    s->t_due_ns += (n_over + 1) * line->bin_ns;
}

/* ---- what ---- */

/* Frames without a bin of their own repeat the newest number. */
static void repeat(struct line *line)
{
    struct bin_frame b = {.repeats = true};

    line_newest(line, &b.frame.epoch, &b.frame.seq);
    publish_frame(line, &b);
    account_made(line, &b, SEQUENCE_MISSING);
}

static void enter_safe(struct line *line, enum safe_reason reason, uint64_t now_ns)
{
    publish_enter_safe(line, reason, now_ns, lease_end_ns(line));
}

static void make_one(struct line *line, uint64_t now_ns)
{
    const struct line_policy *policy = &line->options.policy;
    bool predicts = policy->on_missing == ON_MISSING_PREDICT && !line->state.safe.on;

    if (predicts && decode_ahead(line)) return;
    if (predicts || (policy->on_missing == ON_MISSING_SAFE && !line->state.safe.on))
        enter_safe(line, SAFE_MISSING, now_ns);
    repeat(line);
}

void silence_on_tick(struct line *line, uint64_t now_ns, bool input_waits)
{
    struct silence *s = &line->state.silence;

    if (now_ns >= lease_start_ns(line, input_waits)) {
        enter_safe(line, SAFE_LEASE, now_ns);
        silence_break(line, now_ns);
        input_waits = false;
    }
    if (now_ns < frame_due_ns(line, input_waits)) return;
    if (line->options.policy.on_missing == ON_MISSING_SKIP && !line->state.safe.on) {
        s->t_due_ns = LINE_NEVER;
        return;
    }
    set_next(line, now_ns);
    make_one(line, now_ns);
    set_ramp_end(line);
}
