/* One reading of the clock after the other: what was due, when, and what was seen. */
#include "contract_frames.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void oracle_complain(const struct oracle *o, const char *condition, int line, const char *format,
                     ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail_msg("seed %" PRIu64 ", frame %" PRIu64 ": %s (line %d): %s", o->seed, o->pub_seq,
             condition, line, text);
}

void oracle_count(struct oracle *o, enum counter c)
{
    o->count[c]++;
}

/* ---- SAFE ---- */

void oracle_go_safe(struct oracle *o, uint64_t now_ns, uint64_t t_latest_ns, bool asked)
{
    const struct line_policy *policy = &o->options->policy;
    uint64_t end = now_ns + policy->safe_ramp_ns;

    if (end > t_latest_ns) end = t_latest_ns < now_ns ? now_ns : t_latest_ns;
    if (!o->safe || end < o->t_safe_ns) o->t_safe_ns = end;
    o->safe = true;
    o->asked |= asked;
    o->locked |= policy->safe_exit_bins == 0;
    o->n_good = 0;
}

static void after_frame(struct oracle *o, bool good)
{
    if (!o->safe) return;
    o->n_good = good ? o->n_good + 1 : 0;
    if (good && !o->asked && !o->locked && o->n_good >= o->options->policy.safe_exit_bins)
        o->safe = false;
}

/* ---- what a consumer sees ---- */

static double distance(const struct oracle *o, const float *readout, size_t i)
{
    return fabs((double)readout[i] - (double)o->readout[i].neutral);
}

static bool is_neutral(const struct oracle *o, const struct seen_frame *f)
{
    return distance(o, f->readout, 0) <= 0.0 && distance(o, f->readout, 1) <= 0.0;
}

static bool is_expired(const struct oracle *o, uint64_t now_ns)
{
    return !o->has_last || now_ns - o->last.frame.t_publish_ns > o->options->valid_for_ns;
}

bool oracle_is_neutral(const struct oracle *o, uint64_t now_ns)
{
    return is_expired(o, now_ns) || is_neutral(o, &o->last);
}

static void check_safe_frame(struct oracle *o, const struct seen_frame *f)
{
    uint64_t t = f->frame.t_publish_ns;

    require(o, f->frame.values.n_latents == 0, "SAFE shows latents");
    if (t >= o->t_safe_ns || is_expired(o, t))
        require(o, is_neutral(o, f), "%g and %g", (double)f->readout[0], (double)f->readout[1]);
    for (size_t i = 0; i < ORACLE_N_READOUT && o->has_last; i++)
        require(o, distance(o, f->readout, i) <= distance(o, o->last.readout, i), "%g after %g",
                (double)f->readout[i], (double)o->last.readout[i]);
}

/* The slew limit holds from what was shown last, but for what a mark began anew. */
static void check_shown_frame(struct oracle *o, const struct seen_frame *f)
{
    bool follows = !o->marked && !is_expired(o, f->frame.t_publish_ns);

    for (size_t i = 0; i < ORACLE_N_READOUT; i++) {
        const struct latent_readout *spec = &o->readout[i];
        double step = (double)spec->slew * (double)o->bin_ns / 1e9 + 1e-5;
        float y = f->readout[i];

        require(o, isfinite(y) && y >= spec->min && y <= spec->max, "%g", (double)y);
        if (follows)
            require(o, fabs((double)y - (double)o->last.readout[i]) <= step, "%g after %g",
                    (double)y, (double)o->last.readout[i]);
    }
}

static void check_order(struct oracle *o, const struct wire_frame *f, const struct due *d)
{
    const struct wire_frame *before = &o->last.frame;
    bool has_number = d->received || d->filled;

    require(o, f->pub_seq == o->pub_seq, "pub_seq %" PRIu64, f->pub_seq);
    require(o, f->epoch == d->epoch && f->seq == d->seq, "seq %" PRIu64, f->seq);
    require(o, f->t_recv_ns == (d->received ? d->t_arrived_ns : 0), "t_recv");
    if (!o->has_last) return;
    require(o, f->t_publish_ns >= before->t_publish_ns, "time runs backwards");
    if (f->epoch == before->epoch && f->seq < before->seq && has_number)
        require(o, o->count[SEQUENCE_RESTARTS] > 0 && f->epoch == 0, "seq %" PRIu64, f->seq);
}

static void see(struct oracle *o, const struct seen_frame *f, const struct due *d, uint32_t flags)
{
    const uint32_t judged =
        LATENT_GAP | LATENT_FILLED | LATENT_LATE | LATENT_HELD | LATENT_SAFE | LATENT_AGE_UNKNOWN;
    uint32_t found = f->frame.values.flags;

    require(o, (found & judged) == (flags | LATENT_AGE_UNKNOWN), "flags %x, not %x", found & judged,
            flags | LATENT_AGE_UNKNOWN);
    check_order(o, &f->frame, d);
    if (flags & LATENT_HELD)
        require(o, !o->has_last || memcmp(f->readout, o->last.readout, sizeof f->readout) == 0,
                "not held");
    else if (flags & LATENT_SAFE)
        check_safe_frame(o, f);
    else
        check_shown_frame(o, f);
    if (f->refused) {
        oracle_count(o, FRAMES_SUPPRESSED_SEND);
        return;
    }
    oracle_count(o, FRAMES_PUBLISHED);
    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++)
        o->count[FLAGS_FIRST + bit] += found >> bit & 1;
    o->pub_seq++;
    o->last = *f;
    o->has_last = true;
    o->marked = false;
}

/* ---- what must be sent ---- */

static uint64_t next_reading(struct oracle *o)
{
    require(o, o->at_reading < o->trace->n_readings, "the clock was not asked");
    return o->trace->reading[o->at_reading++];
}

static void expect_frame(struct oracle *o, const struct due *d, uint32_t flags)
{
    require(o, o->at_frame < o->trace->n_frames, "no frame for seq %" PRIu64, d->seq);
    see(o, &o->trace->frame[o->at_frame++], d, flags);
}

/* The table of decisions for a model without warm-up and trials; true: good. */
static bool send_one(struct oracle *o, const struct due *d, uint64_t t_publish_ns)
{
    const struct line_policy *policy = &o->options->policy;
    uint64_t age_ns = d->t_arrived_ns ? t_publish_ns - d->t_arrived_ns : 0;
    bool old = policy->max_age_ns && age_ns > policy->max_age_ns && !d->repeats;
    bool late = d->received && age_ns > o->options->budget_ns;
    uint32_t flags =
        (d->gap ? LATENT_GAP : 0u) | (d->filled ? LATENT_FILLED : 0u) | (late ? LATENT_LATE : 0u);
    uint32_t held = o->has_last ? o->last.frame.values.flags & LATENT_SAFE : 0;
    bool holds = d->repeats || (late && !old && policy->on_late == ON_LATE_HOLD_FRAME);
    bool publishes = !late || policy->on_late == ON_LATE_PUBLISH;

    if (late) o->count[STATE_BUDGET_MISSES]++;
    if (late && !old && policy->on_late == ON_LATE_SAFE)
        oracle_go_safe(o, t_publish_ns, UINT64_MAX, false);
    if (o->safe)
        expect_frame(o, d, flags | LATENT_SAFE);
    else if (holds)
        expect_frame(o, d, flags | LATENT_HELD | held);
    else if (old)
        oracle_count(o, FRAMES_SUPPRESSED_AGE);
    else if (late && policy->on_late == ON_LATE_SKIP)
        oracle_count(o, FRAMES_SKIPPED);
    else
        expect_frame(o, d, flags);
    return d->received && !d->huge && !old && publishes;
}

void oracle_expect(struct oracle *o, const struct due *d)
{
    uint64_t t_publish_ns;
    bool good;

    if (d->received) next_reading(o); /* start of the step */
    if (d->huge) {
        oracle_go_safe(o, next_reading(o), UINT64_MAX, false);
        oracle_count(o, SEQUENCE_RESETS);
    }
    t_publish_ns = next_reading(o);
    next_reading(o); /* the sink has it */
    oracle_count(o, FRAMES_DUE);
    good = send_one(o, d, t_publish_ns);
    after_frame(o, good);
}
