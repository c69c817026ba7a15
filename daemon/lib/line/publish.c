/* The table of decisions: the first row that applies says what is sent for a
 * bin. It stands in README.md. */
#include "line/publish.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "line/age.h"

/* What a frame says of its bin stays, whatever values it carries ... */
#define FLAGS_OF_BIN \
    (LATENT_GAP | LATENT_FILLED | LATENT_LATE | LATENT_RESET | LATENT_SWAPPED | LATENT_NO_SIGNAL)
/* ... and what it says of its values goes with them. */
#define FLAGS_OF_VALUES                                                                      \
    (LATENT_WARMUP | LATENT_PREDICTED | LATENT_SAFE | LATENT_MASKED | LATENT_INPUT_CLIPPED | \
     LATENT_LIMITED | LATENT_OUTSIDE | LATENT_NO_SIGNAL | LATENT_BETWEEN)

enum decision {
    SEND_SAFE,
    SEND_OUTSIDE,
    SEND_WARMUP,
    SEND_HELD,
    SUPPRESS_OLD,
    SKIP,
    SEND_DECODED,
    N_DECISIONS,
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- what consumers have ---- */

/* As the clients judge it; contract 1 gave it a nanosecond more. */
static bool is_expired(const struct line *line, uint64_t now_ns)
{
    uint64_t t_shown = line->state.shown.t_ns, valid_for_ns = line->options.valid_for_ns;
    uint64_t end_ns = line->options.contract == 1 ? valid_for_ns + 1 : valid_for_ns;

    return valid_for_ns && now_ns > t_shown && now_ns - t_shown >= end_ns;
}

/* The readout that consumers act on. Whose last frame is no longer valid is at rest already, and
 * must not be led back to where it was: neutral, or where it was last for what holds. */
static float value_in_use(const struct line *line, uint32_t o, uint64_t now_ns)
{
    bool rests = is_expired(line, now_ns) && !line->limits[o].hold;

    return rests ? line->neutral[o] : line->shown_readout[o];
}

static const float *readout_in_use(struct line *line, uint64_t now_ns)
{
    for (uint32_t o = 0; o < line->n_readout; o++) line->readout[o] = value_in_use(line, o, now_ns);
    return line->readout;
}

/* Since when they have it, at most a bin: what was not published in time was not there. */
static uint64_t in_use_ns(const struct line *line, uint64_t now_ns)
{
    uint64_t since_ns = line->state.shown.t_ns;

    if (is_expired(line, now_ns)) since_ns += line->options.valid_for_ns;
    return now_ns > since_ns ? least(now_ns - since_ns, line->bin_ns) : 0;
}

/* ---- SAFE ---- */

/* The first frame goes at most the way of one bin, however long ago the last
 * was. */
static void start_ramp(struct line *line, uint64_t now_ns)
{
    uint64_t t_shown = line->state.shown.t_ns;
    bool recent = now_ns < t_shown || now_ns - t_shown < line->bin_ns;

    line->state.safe.t_last_ns = recent ? t_shown : now_ns - line->bin_ns;
}

/* Where it is at rest already there is no way to go. */
static uint64_t ramp_ns(const struct line *line, uint64_t now_ns)
{
    bool rests = true;

    for (uint32_t o = 0; o < line->n_readout; o++) {
        float y = value_in_use(line, o, now_ns);

        rests &= line->limits[o].hold || memcmp(&y, &line->neutral[o], sizeof y) == 0;
    }
    return rests ? 0 : line->options.policy.safe_ramp_ns;
}

void publish_enter_safe(struct line *line, enum safe_reason reason, uint64_t now_ns,
                        uint64_t t_latest_ns)
{
    struct line_memory *s = &line->state;

    if (!s->safe.on) {
        start_ramp(line, now_ns);
        line_tell_action(line, LINE_ENTER_SAFE, s->sequence.epoch, s->sequence.newest);
    }
    safe_enter(&s->safe, &line->options.policy, reason, now_ns,
               least(now_ns + ramp_ns(line, now_ns), t_latest_ns));
}

static bool is_above(uint64_t limit_ns, uint64_t ns)
{
    return limit_ns && ns > limit_ns;
}

/* Since its end, where that is known, else since its arrival. A bin that did not come is as old as
 * the one that showed it. */
static uint64_t known_age_ns(const struct bin_frame *b)
{
    uint64_t since_ns = b->received && b->is_mapped ? b->t_end_ns : b->t_arrived_ns;

    return b->t_arrived_ns ? b->frame.t_publish_ns - since_ns : 0;
}

/* Or by the pace of its source. */
static uint64_t least_age_ns(const struct bin_frame *b)
{
    uint64_t age_ns = known_age_ns(b);

    return b->is_mapped || age_ns > b->pace_age_ns ? age_ns : b->pace_age_ns;
}

static bool waited_too_long(const struct line *line, const struct bin_frame *b)
{
    return is_above(line->options.policy.max_age_ns, known_age_ns(b));
}

static bool is_old(const struct line *line, const struct bin_frame *b)
{
    return is_above(line->options.policy.max_age_ns, least_age_ns(b));
}

/* Bins in a row that would have been shown end it; whatever else is sent, for a
 * bin or without one, starts the count again. */
static void judge_exit(struct line *line, const struct bin_frame *b, bool good)
{
    const struct line_policy *policy = &line->options.policy;
    struct safe *safe = &line->state.safe;
    bool counts = line->options.contract == 1; /* bins alone, however fast they came */
    uint64_t span_ns = counts ? 0 : policy->safe_exit_bins * line->bin_ns;

    if (!safe->on) return;
    if (!good) {
        safe->n_good = 0;
        return;
    }
    if (!safe_on_good(safe, policy, b->t_arrived_ns, span_ns) || is_old(line, b)) return;
    safe->on = false;
    line_tell_action(line, LINE_LEAVE_SAFE, b->frame.epoch, b->frame.seq);
}

/* ---- what a frame carries, by decision ---- */

static void dress_safe(struct line *line, struct bin_frame *b)
{
    struct latent_frame *values = &b->frame.values;
    uint32_t flags = (values->flags & FLAGS_OF_BIN) | LATENT_SAFE;
    uint64_t now_ns = b->frame.t_publish_ns;

    readout_in_use(line, now_ns);
    safe_ramp(&line->state.safe, line->readout, line->neutral, line->n_readout, now_ns);
    for (uint32_t o = 0; o < line->n_readout; o++)
        if (line->limits[o].hold) line->readout[o] = value_in_use(line, o, now_ns);
    *values = (struct latent_frame){.flags = flags};
    if (line->options.send_readout) {
        values->n_readout = line->n_readout;
        values->readout = line->readout;
    }
    line->state.easing = true;
}

/* Consumers have become neutral: from there the readout leaves once more. */
static void leave_if_expired(struct line *line, const struct bin_frame *b)
{
    if (is_expired(line, b->frame.t_publish_ns))
        line->state.eased = (struct eased){.leaving = true};
}

static void dress_held(struct line *line, struct bin_frame *b)
{
    const struct shown *shown = &line->state.shown;
    struct latent_frame *values = &b->frame.values;
    bool keeps = line->options.contract == 1; /* even what has expired */

    leave_if_expired(line, b);
    values->flags = (values->flags & FLAGS_OF_BIN) | (shown->flags & FLAGS_OF_VALUES) | LATENT_HELD;
    values->n_latents = shown->n_latents;
    values->latents = line->shown_latents;
    values->n_rates = shown->n_rates;
    values->rates = line->shown_rates;
    values->n_logits = 0; /* an old one would be taken for a new one */
    values->n_readout = line->options.send_readout ? line->n_readout : 0;
    values->readout = keeps ? line->shown_readout : readout_in_use(line, b->frame.t_publish_ns);
    line->state.easing = true;
}

static void dress_nothing(struct line *line, struct bin_frame *b)
{
    (void)b;
    line->state.easing = true;
}

/* The decoder is neutral; what holds stays where it is. */
static void dress_resting(struct line *line, struct bin_frame *b)
{
    struct latent_frame *values = &b->frame.values;
    bool agrees = true;

    for (uint32_t o = 0; o < values->n_readout; o++) {
        bool holds = line->limits[o].hold;

        line->readout[o] =
            holds ? value_in_use(line, o, b->frame.t_publish_ns) : values->readout[o];
        agrees &= memcmp(&line->readout[o], &values->readout[o], sizeof *line->readout) == 0;
    }
    if (agrees) return;
    values->readout = line->readout;
    values->flags |= LATENT_LIMITED;
}

/* Contract 1. The decoder limits the slew from bin to bin of its own. After frames that showed
 * something else it is limited here, from what consumers have, until both agree. */
static void dress_decoded_1(struct line *line, struct bin_frame *b)
{
    struct latent_frame *values = &b->frame.values;
    uint64_t now_ns = b->frame.t_publish_ns;
    bool agree = true;

    if (!line->state.easing || values->n_readout == 0) return;
    for (uint32_t o = 0; o < values->n_readout; o++) {
        float step = (float)((double)line->limits[o].slew * (double)line->bin_ns / 1e9);
        float from = value_in_use(line, o, now_ns), y = values->readout[o];
        float low = from - step, high = from + step;

        line->readout[o] = y < low ? low : y > high ? high : y;
        agree &= y >= low && y <= high;
    }
    values->readout = line->readout;
    if (!agree) values->flags |= LATENT_LIMITED;
    line->state.easing = !agree;
}

static bool is_between(float y, float a, float b)
{
    return a < b ? y >= a && y <= b : y >= b && y <= a;
}

/* Away from neutral, at most that share of the way from there to y which the time is of the ramp;
 * towards it, and as far as consumers are already, at will. */
static float ease(float limited, float y, float from, float neutral, double share)
{
    double way = ((double)y - (double)neutral) * share;
    bool beyond = is_between(from, neutral, limited);
    float start = beyond ? from : neutral, reach = (float)((double)start + fabs(way));

    if (is_between(limited, neutral, from)) return limited;
    if (limited < neutral) reach = (float)((double)start - fabs(way));
    return is_between(limited, start, reach) ? limited : reach;
}

/* Away from where it was held: the share of the way that is left which the time is of what is left
 * of the ramp. */
static float ease_held(const struct line *line, float limited, float y, float from, double share)
{
    uint64_t ramp_ns = line->options.policy.safe_ramp_ns, t_ns = line->state.eased.t_ns;
    double left = t_ns < ramp_ns ? (double)(ramp_ns - t_ns) / (double)ramp_ns : 0.0;
    float way = (float)(((double)y - (double)from) * (share < left ? share / left : 1.0));

    return is_between(limited, from, from + way) ? limited : from + way;
}

/* The decoder limits the slew from bin to bin of its own. Consumers have frames at other times, and
 * other readouts than its own: so it is limited once more, from what they have, by the time that
 * they have had it. */
static void dress_decoded(struct line *line, struct bin_frame *b)
{
    struct latent_frame *values = &b->frame.values;
    uint64_t now_ns = b->frame.t_publish_ns, ramp_ns = line->options.policy.safe_ramp_ns;
    double share;

    if (line->options.contract == 1) {
        dress_decoded_1(line, b);
        return;
    }
    leave_if_expired(line, b);
    b->moved_ns = in_use_ns(line, now_ns);
    b->agrees = true;
    share = line->state.eased.leaving && ramp_ns ? (double)b->moved_ns / (double)ramp_ns : 1.0;
    for (uint32_t o = 0; o < values->n_readout; o++) {
        float y = values->readout[o], from = value_in_use(line, o, now_ns);
        float limited = latent_readout_limit(&line->limits[o], y, from, (double)b->moved_ns / 1e9);

        if (share < 1.0)
            limited = line->limits[o].hold ? ease_held(line, limited, y, from, share)
                                           : ease(limited, y, from, line->neutral[o], share);
        b->agrees &= limited >= y && limited <= y;
        line->readout[o] = limited;
    }
    if (b->agrees) return;
    values->readout = line->readout;
    values->flags |= LATENT_LIMITED;
}

static const struct {
    void (*dress)(struct line *line, struct bin_frame *b);
    bool is_sent, is_good; /* good: as it should be, so it counts to the end of SAFE */
    enum counter outcome;  /* of what is not sent */
} rows[N_DECISIONS] = {
    [SEND_SAFE] = {dress_safe, .is_sent = true},
    [SEND_OUTSIDE] = {dress_resting, .is_sent = true, .is_good = true},
    [SEND_WARMUP] = {dress_resting, .is_sent = true},
    [SEND_HELD] = {dress_held, .is_sent = true},
    [SUPPRESS_OLD] = {dress_nothing, .outcome = FRAMES_SUPPRESSED_AGE},
    [SKIP] = {dress_nothing, .outcome = FRAMES_SKIPPED},
    [SEND_DECODED] = {dress_decoded, .is_sent = true, .is_good = true},
};

/* ---- deciding ---- */

static enum decision decide_beyond_safe(const struct line *line, const struct bin_frame *b)
{
    static const enum decision late[] = {
        [ON_LATE_PUBLISH] = SEND_DECODED,
        [ON_LATE_HOLD_FRAME] = SEND_HELD,
        [ON_LATE_SKIP] = SKIP,
        [ON_LATE_SAFE] = SEND_SAFE,
    };
    uint32_t flags = b->frame.values.flags;

    if (flags & LATENT_OUTSIDE) return SEND_OUTSIDE;
    if (flags & LATENT_WARMUP) return SEND_WARMUP;
    if (b->repeats) return SEND_HELD;
    if (is_old(line, b)) return SUPPRESS_OLD;
    return flags & LATENT_LATE ? late[line->options.policy.on_late] : SEND_DECODED;
}

/* A bin that was not received has no arrival, so no budget to keep. */
static void judge_time(const struct line *line, struct bin_frame *b)
{
    struct wire_frame *f = &b->frame;

    if (!b->received) return;
    f->budget_left_ns = (int64_t)(line->options.budget_ns - least_age_ns(b));
    if (f->budget_left_ns < 0) f->values.flags |= LATENT_LATE;
}

/* ---- sending ---- */

static void keep(float *to, const float *from, uint32_t n)
{
    if (n && to != from) memcpy(to, from, n * sizeof *to);
}

/* How far the readout has got on its way from neutral. */
static void follow(struct line *line, const struct bin_frame *b)
{
    struct eased *e = &line->state.eased;

    if (b->frame.values.flags & (LATENT_SAFE | LATENT_WARMUP | LATENT_OUTSIDE)) {
        *e = (struct eased){.leaving = true};
        return;
    }
    e->t_ns += b->moved_ns;
    if (b->agrees && e->t_ns >= line->options.policy.safe_ramp_ns) e->leaving = false;
}

/* What consumers now have. */
static void remember(struct line *line, const struct wire_frame *f)
{
    struct shown *shown = &line->state.shown;
    const struct latent_frame *v = &f->values;

    *shown = (struct shown){.t_ns = f->t_publish_ns,
                            .flags = v->flags,
                            .n_latents = v->n_latents,
                            .n_rates = v->n_rates};
    keep(line->shown_latents, v->latents, v->n_latents);
    keep(line->shown_rates, v->rates, v->n_rates);
    keep(line->shown_readout, v->readout, v->n_readout);
    line->state.safe.t_last_ns = f->t_publish_ns;
}

static void send(struct line *line, struct bin_frame *b)
{
    struct wire_frame *f = &b->frame;
    struct latent_normalisation normalisation;
    size_t n_bytes;

    latent_decoder_normalisation(line->decoder, &normalisation, NULL, NULL);
    f->normalise_version = normalisation.version;
    f->pub_seq = line->state.pub_seq;
    f->clock_id = line->options.clock_id;
    f->decoder_id = line->decoder_id;
    f->mask_version = latent_decoder_mask_version(line->decoder);
    f->valid_for_ns = line->options.valid_for_ns;
    if (line->state.is_swapped) f->values.flags |= LATENT_SWAPPED;
    if (b->is_mapped)
        f->age_ns = (int64_t)(f->t_publish_ns - b->t_end_ns);
    else
        f->values.flags |= LATENT_AGE_UNKNOWN;
    n_bytes = wire_pack_frame(f, line->buffer, line->n_buffer);
    assert(n_bytes > 0);
    b->outcome = FRAMES_SUPPRESSED_SEND;
    if (line_hand_over(line, f, n_bytes)) {
        line->state.easing = true;
        return;
    }
    b->outcome = FRAMES_PUBLISHED;
    line->state.pub_seq++;
    line->state.is_swapped = false;
    follow(line, b);
    remember(line, f);
}

/* Nothing in it says that all is well. */
static bool is_empty(const struct line *line, const struct bin_frame *b)
{
    return b->no_signal && line->options.policy.on_silent == ON_SILENT_SAFE;
}

/* In SAFE a bin that is old by its pace alone is as good as any: the pace may have changed. It may
 * not end SAFE, though. */
static bool is_good(const struct line *line, const struct bin_frame *b, enum decision decision)
{
    if (!b->received || b->failed || is_empty(line, b)) return false;
    if (line_is_masked_too_much(line)) return false;
    if (decision == SUPPRESS_OLD) return line->state.safe.on && !waited_too_long(line, b);
    return rows[decision].is_good;
}

void publish_frame(struct line *line, struct bin_frame *b)
{
    enum decision decision;
    bool good;

    b->frame.t_publish_ns = line_now(line);
    if (!b->received) age_on_frame(line, b);
    judge_time(line, b);
    if (b->frame.values.flags & LATENT_RESET) line->state.eased = (struct eased){.leaving = true};
    decision = decide_beyond_safe(line, b);
    good = is_good(line, b, decision);
    if (decision == SEND_SAFE)
        publish_enter_safe(line, SAFE_LATE, b->frame.t_publish_ns, LINE_NEVER);
    if (line->state.safe.on) decision = SEND_SAFE;
    rows[decision].dress(line, b);
    b->outcome = rows[decision].outcome;
    if (rows[decision].is_sent) send(line, b);
    b->t_done_ns = line_now(line);
    judge_exit(line, b, good);
}
