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

/* Good bins in a row, and the time that as many take: both must have come in. */
static void after_frame(struct oracle *o, const struct due *d, bool good, bool old)
{
    uint64_t n = o->options->policy.safe_exit_bins;

    if (!o->safe) return;
    if (good && o->n_good == 0) o->t_good_ns = d->t_arrived_ns;
    o->n_good = good ? o->n_good + 1 : 0;
    if (good && !old && !o->asked && !o->locked && o->n_good >= n &&
        d->t_arrived_ns - o->t_good_ns >= n * o->bin_ns)
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
    return !o->has_last || now_ns - o->last.frame.t_publish_ns >= o->options->valid_for_ns;
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

/* What consumers have, and the time that they have had it, at most a bin. */
static float in_use(const struct oracle *o, size_t i, uint64_t now_ns)
{
    return is_expired(o, now_ns) ? o->readout[i].neutral : o->last.readout[i];
}

static uint64_t moved_ns(const struct oracle *o, uint64_t now_ns)
{
    uint64_t since_ns = o->has_last ? o->last.frame.t_publish_ns : 0;
    uint64_t had_ns = now_ns - since_ns;

    if (o->has_last && is_expired(o, now_ns)) had_ns -= o->options->valid_for_ns;
    return had_ns < o->bin_ns ? had_ns : o->bin_ns;
}

/* One step: by the slew at most, and on the way from neutral by the share of it that the ramp
 * allows; never past what the decoder says. */
static void check_step(struct oracle *o, size_t i, const struct seen_frame *f, bool leaving)
{
    const struct latent_readout *spec = &o->readout[i];
    uint64_t t = f->frame.t_publish_ns, ramp_ns = o->options->policy.safe_ramp_ns;
    double dt = (double)moved_ns(o, t), from = (double)in_use(o, i, t), y = (double)f->readout[i];
    double neutral = (double)spec->neutral, way = fabs((double)f->decoded[i] - neutral);
    double slew = (double)spec->slew * dt / 1e9, away = way * dt / (double)ramp_ns;
    bool same_side = (y - neutral) * (from - neutral) > 0.0;
    double start = same_side ? fabs(from - neutral) : 0.0;

    require(o, isfinite(y) && y >= (double)spec->min && y <= (double)spec->max, "%g", y);
    if (isfinite((double)spec->slew))
        require(o, fabs(y - from) <= slew + 1e-5, "%g after %g in %g ns", y, from, dt);
    if (leaving && ramp_ns)
        require(o, fabs(y - neutral) <= start + away + 1e-5 * (1.0 + way), "%g from %g in %g ns", y,
                from, dt);
    require(o, (y - from) * ((double)f->decoded[i] - y) >= -1e-5 * (1.0 + way),
            "%g is not between %g and %g", y, from, (double)f->decoded[i]);
}

/* Frames without LIMITED are the decoder's, bit for bit, the others in their latents. */
static void check_shown_frame(struct oracle *o, const struct seen_frame *f)
{
    uint64_t t = f->frame.t_publish_ns;
    bool limited = f->frame.values.flags & LATENT_LIMITED, same;

    if (is_expired(o, t) || f->frame.values.flags & LATENT_RESET) {
        o->leaving = true;
        o->t_left_ns = 0;
    }
    same = memcmp(f->readout, f->decoded, sizeof f->readout) == 0;
    require(o, memcmp(f->latents, f->decoded_latents, sizeof f->latents) == 0, "other latents");
    require(o, same || limited, "%g, decoded %g", (double)f->readout[0], (double)f->decoded[0]);
    for (size_t i = 0; i < ORACLE_N_READOUT; i++) check_step(o, i, f, o->leaving);
    if (f->refused) return;
    o->t_left_ns += moved_ns(o, t);
    if (same && o->t_left_ns >= o->options->policy.safe_ramp_ns) o->leaving = false;
}

static void check_held_frame(struct oracle *o, const struct seen_frame *f)
{
    if (is_expired(o, f->frame.t_publish_ns)) { /* it shows neutral, and so it is left from there */
        o->leaving = true;
        o->t_left_ns = 0;
    }
    for (size_t i = 0; i < ORACLE_N_READOUT; i++) {
        float had = in_use(o, i, f->frame.t_publish_ns);
        require(o, memcmp(&f->readout[i], &had, sizeof had) == 0, "%g held, not %g",
                (double)f->readout[i], (double)had);
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
        require(o, o->count[SEQUENCE_RESTARTS] > o->n_restarts_seen, "seq %" PRIu64, f->seq);
}

/* Whose it is; the first that a consumer can have of a decoder says so. */
static void check_decoder(const struct oracle *o, const struct seen_frame *f, uint32_t flags)
{
    bool says = f->frame.values.flags & LATENT_SWAPPED;

    require(o, f->frame.decoder_id == o->decoder_id, "decoder %" PRIx64, f->frame.decoder_id);
    require(o, says == o->is_swapped, "SWAPPED is %d", says);
    if (flags & LATENT_HELD)
        require(o, f->frame.values.n_latents == o->n_latents, "%u latents held",
                f->frame.values.n_latents);
}

static void see(struct oracle *o, const struct seen_frame *f, const struct due *d, uint32_t flags)
{
    const uint32_t judged = LATENT_GAP | LATENT_FILLED | LATENT_LATE | LATENT_HELD | LATENT_SAFE |
                            LATENT_NO_SIGNAL | LATENT_AGE_UNKNOWN;
    uint32_t found = f->frame.values.flags;

    flags |= d->has_end ? 0u : LATENT_AGE_UNKNOWN;
    require(o, (found & judged) == flags, "flags %x, not %x", found & judged, flags);
    if (d->has_end)
        require(o, f->frame.age_ns == (int64_t)(f->frame.t_publish_ns - d->t_end_ns),
                "%" PRId64 " ns old, not %" PRId64, f->frame.age_ns,
                (int64_t)(f->frame.t_publish_ns - d->t_end_ns));
    check_order(o, &f->frame, d);
    check_decoder(o, f, flags);
    if (flags & LATENT_HELD)
        check_held_frame(o, f);
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
    o->is_swapped = false;
    o->n_latents = f->frame.values.n_latents;
    o->n_restarts_seen = o->count[SEQUENCE_RESTARTS];
    if (flags & LATENT_SAFE) {
        o->leaving = true;
        o->t_left_ns = 0;
    }
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

/* The table of decisions for a model without warm-up and trials. */
static void send_one(struct oracle *o, const struct due *d, uint64_t t_publish_ns)
{
    const struct line_policy *policy = &o->options->policy;
    uint64_t waited_ns = d->t_arrived_ns ? t_publish_ns - d->t_arrived_ns : 0;
    bool ended = d->has_end && d->received;
    uint64_t known_ns = ended ? t_publish_ns - d->t_end_ns : waited_ns;
    uint64_t age_ns = d->pace_age_ns > known_ns && !ended ? d->pace_age_ns : known_ns;
    bool waited_long = policy->max_age_ns && known_ns > policy->max_age_ns && !d->repeats;
    bool old = policy->max_age_ns && age_ns > policy->max_age_ns && !d->repeats;
    bool late = d->received && age_ns > o->options->budget_ns;
    uint32_t flags = (d->gap ? LATENT_GAP : 0u) | (d->filled ? LATENT_FILLED : 0u) |
                     (late ? LATENT_LATE : 0u) | (d->no_signal ? LATENT_NO_SIGNAL : 0u);
    const uint32_t shown = LATENT_SAFE | LATENT_NO_SIGNAL;
    uint32_t held = o->has_last ? o->last.frame.values.flags & shown : 0;
    bool holds = d->repeats || (late && !old && policy->on_late == ON_LATE_HOLD_FRAME);
    bool publishes = !late || policy->on_late == ON_LATE_PUBLISH;
    bool empty = d->no_signal && policy->on_silent == ON_SILENT_SAFE;
    bool good = d->received && !d->huge && !empty && (old ? o->safe && !waited_long : publishes);

    if (d->received && waited_ns > o->options->budget_ns) o->count[STATE_BUDGET_MISSES]++;
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
    after_frame(o, d, good, old);
}

/* The daemon gets to a bin: SAFE comes first if the lease was over before it did. */
static void get_to(struct oracle *o, uint64_t now_ns)
{
    uint64_t end_ns = o->t_decoded_ns + o->options->policy.lease_ns;

    if (o->heard && !o->safe && now_ns > end_ns) oracle_go_safe(o, now_ns, end_ns, false);
}

/* A bin that came gets its step: what its message says of the source's clock, and so when it ended.
 * None has its step before. */
static void tell_end(struct oracle *o, struct due *d, uint64_t t_step_ns)
{
    const struct parcel *p = &o->open.parcel;
    enum line_source_clock how = o->options->source_clock;
    uint64_t last = p->n_bins - 1, t_last_ns = p->t_source_ns + last * o->bin_ns;
    bool claims = how == SOURCE_CLOCK_MONOTONIC || p->clock_id == o->options->clock_id;

    if (how == SOURCE_CLOCK_OFF) return;
    o->has_end = false;
    if (d->t_source_ns == 0) return;
    if (!o->open.is_timed) {
        bool can_be = t_last_ns <= t_step_ns && t_step_ns - t_last_ns <= 10000000000u;

        o->open.is_timed = true;
        o->open.is_exact = claims && can_be;
        o->n_misclaimed += claims && !can_be;
        source_clock_on_message(&o->clock, o->bin_ns, p->seq + last, t_last_ns, t_step_ns);
    }
    o->has_end = d->has_end = o->open.is_exact || source_clock_is_known(&o->clock);
    o->n_ends[o->open.is_exact ? ORACLE_EXACT : d->has_end ? ORACLE_ESTIMATED : ORACLE_UNKNOWN]++;
    d->t_end_ns = d->t_source_ns;
    if (!o->open.is_exact)
        d->t_end_ns = source_clock_here_ns(&o->clock, d->t_source_ns) - o->options->min_delay_ns;
    if ((int64_t)(d->t_end_ns - t_step_ns) > 0) d->t_end_ns = t_step_ns;
    o->end_seq = d->seq;
    o->t_end_ns = d->t_end_ns;
}

/* Its number tells, from that of the bin decoded last; none ends after it is published. */
static void reckon_end(const struct oracle *o, struct due *d, uint64_t t_publish_ns)
{
    d->has_end = o->has_end;
    d->t_end_ns = o->t_end_ns + (d->seq - o->end_seq) * o->bin_ns;
    if ((int64_t)(d->t_end_ns - t_publish_ns) > 0) d->t_end_ns = t_publish_ns;
}

void oracle_expect(struct oracle *o, struct due *d)
{
    uint64_t t_step_ns = 0, t_publish_ns;

    if (d->received || d->first_filled) {
        t_step_ns = next_reading(o);
        get_to(o, t_step_ns);
    }
    if (d->received) tell_end(o, d, t_step_ns);
    if (d->no_signal_safe && o->options->policy.on_silent == ON_SILENT_SAFE)
        oracle_go_safe(o, t_step_ns, UINT64_MAX, false);
    if (d->huge) {
        oracle_go_safe(o, next_reading(o), UINT64_MAX, false);
        oracle_count(o, SEQUENCE_RESETS);
        o->leaving = true;
        o->t_left_ns = 0;
    }
    if (d->reset) { /* whatever is sent for its bin */
        o->leaving = true;
        o->t_left_ns = 0;
    }
    t_publish_ns = next_reading(o);
    if (!d->received) reckon_end(o, d, t_publish_ns);
    next_reading(o); /* the sink has it */
    oracle_count(o, FRAMES_DUE);
    send_one(o, d, t_publish_ns);
}
