/* The table of decisions: the first row that applies says what is sent for a
 * bin. It stands in daemon/README.md. */
#include "line/publish.h"

#include <assert.h>
#include <string.h>

/* What a frame says of its bin stays, whatever values it carries ... */
#define FLAGS_OF_BIN (LATENT_GAP | LATENT_FILLED | LATENT_LATE | LATENT_RESET | LATENT_SWAPPED)
/* ... and what it says of its values goes with them. */
#define FLAGS_OF_VALUES                                                                      \
    (LATENT_WARMUP | LATENT_PREDICTED | LATENT_SAFE | LATENT_MASKED | LATENT_INPUT_CLIPPED | \
     LATENT_LIMITED | LATENT_OUTSIDE)

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

/* ---- SAFE ---- */

/* The readout that consumers act on. Whose last frame is no longer valid is
 * neutral already, and must not be led back to where it was. */
static const float *readout_in_use(const struct pipeline *p, uint64_t now_ns)
{
    uint64_t t_shown = p->state.shown.t_ns, valid_for_ns = p->options.valid_for_ns;
    bool expired = valid_for_ns && now_ns > t_shown && now_ns - t_shown > valid_for_ns;

    return expired ? p->neutral : p->shown_readout;
}

/* The first frame goes at most the way of one bin, however long ago the last
 * was. */
static void start_ramp(struct pipeline *p, uint64_t now_ns)
{
    uint64_t t_shown = p->state.shown.t_ns;
    bool recent = now_ns < t_shown || now_ns - t_shown < p->bin_ns;

    p->state.safe.t_last_ns = recent ? t_shown : now_ns - p->bin_ns;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Where it is neutral already there is no way to go. */
static uint64_t ramp_ns(const struct pipeline *p, uint64_t now_ns)
{
    const float *readout = readout_in_use(p, now_ns);
    bool is_neutral = memcmp(readout, p->neutral, p->n_readout * sizeof *readout) == 0;

    return is_neutral ? 0 : p->options.policy.safe_ramp_ns;
}

void publish_enter_safe(struct pipeline *p, enum safe_reason reason, uint64_t now_ns,
                        uint64_t t_latest_ns)
{
    struct line_state *s = &p->state;

    if (!s->safe.on) {
        start_ramp(p, now_ns);
        line_tell_action(p, LINE_ENTER_SAFE, s->sequence.epoch, s->sequence.newest);
    }
    safe_enter(&s->safe, &p->options.policy, reason, now_ns,
               least(now_ns + ramp_ns(p, now_ns), t_latest_ns));
}

/* Bins in a row that would have been shown end it; whatever else is sent, for a
 * bin or without one, starts the count again. */
static void judge_exit(struct pipeline *p, const struct passage *b, bool good)
{
    struct safe *safe = &p->state.safe;

    if (!safe->on) return;
    if (!good)
        safe->n_good = 0;
    else if (safe_on_good(safe, &p->options.policy))
        line_tell_action(p, LINE_LEAVE_SAFE, b->frame.epoch, b->frame.seq);
}

/* ---- what a frame carries, by decision ---- */

static void dress_safe(struct pipeline *p, struct passage *b)
{
    struct latent_frame *values = &b->frame.values;
    uint32_t flags = (values->flags & FLAGS_OF_BIN) | LATENT_SAFE;
    uint64_t now_ns = b->frame.t_publish_ns;

    memcpy(p->readout, readout_in_use(p, now_ns), p->n_readout * sizeof *p->readout);
    safe_ramp(&p->state.safe, p->readout, p->neutral, p->n_readout, now_ns);
    *values = (struct latent_frame){.flags = flags};
    if (p->options.send_readout) {
        values->n_readout = p->n_readout;
        values->readout = p->readout;
    }
    p->state.easing = true;
}

static void dress_held(struct pipeline *p, struct passage *b)
{
    const struct shown *shown = &p->state.shown;
    struct latent_frame *values = &b->frame.values;

    values->flags = (values->flags & FLAGS_OF_BIN) | (shown->flags & FLAGS_OF_VALUES) | LATENT_HELD;
    values->n_latents = shown->n_latents;
    values->latents = p->shown_latents;
    values->n_rates = shown->n_rates;
    values->rates = p->shown_rates;
    values->n_readout = p->options.send_readout ? p->n_readout : 0;
    values->readout = p->shown_readout;
    p->state.easing = true;
}

static void dress_nothing(struct pipeline *p, struct passage *b)
{
    (void)b;
    p->state.easing = true;
}

static void dress_as_decoded(struct pipeline *p, struct passage *b)
{
    (void)p;
    (void)b;
}

/* The decoder limits the slew from bin to bin of its own. After frames that
 * showed something else it is limited here, from what consumers have, until
 * both agree. */
static void dress_decoded(struct pipeline *p, struct passage *b)
{
    struct latent_frame *values = &b->frame.values;
    const float *from = readout_in_use(p, b->frame.t_publish_ns);
    bool agree = true;

    if (!p->state.easing || values->n_readout == 0) return;
    for (uint32_t o = 0; o < values->n_readout; o++) {
        float step = (float)((double)p->limits[o].slew * (double)p->bin_ns / 1e9);
        float low = from[o] - step, high = from[o] + step;
        float y = values->readout[o];

        p->readout[o] = y < low ? low : y > high ? high : y;
        agree &= y >= low && y <= high;
    }
    values->readout = p->readout;
    if (!agree) values->flags |= LATENT_LIMITED;
    p->state.easing = !agree;
}

static const struct {
    void (*dress)(struct pipeline *p, struct passage *b);
    bool is_sent, is_good; /* good: as it should be, so it counts to the end of SAFE */
    enum counter outcome;  /* of what is not sent */
} rows[N_DECISIONS] = {
    [SEND_SAFE] = {dress_safe, .is_sent = true},
    [SEND_OUTSIDE] = {dress_as_decoded, .is_sent = true, .is_good = true},
    [SEND_WARMUP] = {dress_as_decoded, .is_sent = true},
    [SEND_HELD] = {dress_held, .is_sent = true},
    [SUPPRESS_OLD] = {dress_nothing, .outcome = FRAMES_SUPPRESSED_AGE},
    [SKIP] = {dress_nothing, .outcome = FRAMES_SKIPPED},
    [SEND_DECODED] = {dress_decoded, .is_sent = true, .is_good = true},
};

/* ---- deciding ---- */

static bool is_old(const struct pipeline *p, const struct passage *b)
{
    uint64_t max_age_ns = p->options.policy.max_age_ns;

    return max_age_ns && b->t_arrived_ns && b->frame.t_publish_ns - b->t_arrived_ns > max_age_ns;
}

static enum decision decide_beyond_safe(const struct pipeline *p, const struct passage *b)
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
    if (is_old(p, b)) return SUPPRESS_OLD;
    return flags & LATENT_LATE ? late[p->options.policy.on_late] : SEND_DECODED;
}

/* A bin that was not received has no arrival, so no budget to keep. */
static void judge_time(const struct pipeline *p, struct passage *b)
{
    struct wire_frame *f = &b->frame;

    if (!b->received) return;
    f->budget_left_ns = (int64_t)(p->options.budget_ns - (f->t_publish_ns - f->t_recv_ns));
    if (f->budget_left_ns < 0) f->values.flags |= LATENT_LATE;
}

/* ---- sending ---- */

static void keep(float *to, const float *from, uint32_t n)
{
    if (n && to != from) memcpy(to, from, n * sizeof *to);
}

/* What consumers now have. */
static void remember(struct pipeline *p, const struct wire_frame *f)
{
    struct shown *shown = &p->state.shown;
    const struct latent_frame *v = &f->values;

    *shown = (struct shown){.t_ns = f->t_publish_ns,
                            .flags = v->flags,
                            .n_latents = v->n_latents,
                            .n_rates = v->n_rates};
    keep(p->shown_latents, v->latents, v->n_latents);
    keep(p->shown_rates, v->rates, v->n_rates);
    keep(p->shown_readout, v->readout, v->n_readout);
    p->state.safe.t_last_ns = f->t_publish_ns;
}

static void send(struct pipeline *p, struct passage *b)
{
    struct wire_frame *f = &b->frame;
    size_t n_bytes;

    f->pub_seq = p->state.pub_seq;
    f->clock_id = p->options.clock_id;
    f->decoder_id = p->decoder_id;
    f->valid_for_ns = p->options.valid_for_ns;
    f->values.flags |= LATENT_AGE_UNKNOWN; /* the source clock is not mapped in this version */
    n_bytes = wire_pack_frame(f, p->buffer, p->n_buffer);
    assert(n_bytes > 0);
    b->outcome = FRAMES_SUPPRESSED_SEND;
    if (line_hand_over(p, f, n_bytes)) {
        p->state.easing = true;
        return;
    }
    b->outcome = FRAMES_PUBLISHED;
    p->state.pub_seq++;
    remember(p, f);
}

void publish_frame(struct pipeline *p, struct passage *b)
{
    enum decision decision;
    bool good;

    b->frame.t_publish_ns = line_now(p);
    judge_time(p, b);
    decision = decide_beyond_safe(p, b);
    good = b->received && !b->failed && rows[decision].is_good;
    if (decision == SEND_SAFE) publish_enter_safe(p, SAFE_LATE, b->frame.t_publish_ns, LINE_NEVER);
    if (p->state.safe.on) decision = SEND_SAFE;
    rows[decision].dress(p, b);
    b->outcome = rows[decision].outcome;
    if (rows[decision].is_sent) send(p, b);
    b->t_done_ns = line_now(p);
    judge_exit(p, b, good);
}
