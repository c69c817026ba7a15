/* The rules in the words of the contract, one after the other. */
#include "contract_oracle.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contract_frames.h"
#include "contract_numbers.h"

/* ---- sequence ---- */

static enum history what_of(const struct oracle *o, uint64_t seq)
{
    if (o->history[seq % ORACLE_HISTORY].seq != seq) return HISTORY_NOTHING;
    return o->history[seq % ORACLE_HISTORY].what;
}

static void set_history(struct oracle *o, uint64_t seq, enum history what)
{
    o->history[seq % ORACLE_HISTORY].seq = seq;
    o->history[seq % ORACLE_HISTORY].what = what;
}

static void begin(struct oracle *o, uint64_t epoch, uint64_t seq)
{
    o->has_previous = o->started && epoch != o->epoch;
    o->previous = o->epoch;
    o->started = true;
    o->epoch = epoch;
    o->newest = seq;
    o->n_ahead = 0;
    memset(o->history, 0, sizeof o->history);
}

enum fate {
    FATE_DECODED,
    FATE_RESTART,
    FATE_DUPLICATE,
    FATE_STALE,
    FATE_SUSPECT,
    FATE_LATE,
    FATE_JUMP,
    FATE_SOURCE
};

static enum fate fate_behind(const struct oracle *o, uint64_t seq, bool third)
{
    uint64_t behind = o->newest - seq;

    if (behind >= o->options->sequence.window_bins) {
        if (o->epoch != 0 || behind < 1024) return FATE_STALE;
        return third ? FATE_RESTART : FATE_SUSPECT;
    }
    switch (what_of(o, seq)) {
    case HISTORY_CAME:
        return FATE_DUPLICATE;
    case HISTORY_MADE:
        return FATE_LATE;
    default:
        return FATE_STALE;
    }
}

static enum fate fate_of(const struct oracle *o, uint64_t epoch, uint64_t seq)
{
    bool third = o->n_suspect == 2;

    if (o->open.whose == WHOSE_SUCCESSOR) return FATE_RESTART;
    if (o->open.whose == WHOSE_JUMP) return FATE_JUMP;
    if (o->open.whose == WHOSE_OTHER) return FATE_SOURCE;
    if (!o->started) return FATE_DECODED;
    if (epoch != o->epoch && o->has_previous && epoch == o->previous)
        return third ? FATE_RESTART : FATE_SUSPECT;
    if (epoch != o->epoch) return FATE_RESTART;
    return seq > o->newest ? FATE_DECODED : fate_behind(o, seq, third);
}

/* A bin that is not decoded. */
static void pass_over(struct oracle *o, enum fate fate, uint64_t seq, uint64_t t_recv_ns)
{
    static const enum counter counter[] = {
        [FATE_DUPLICATE] = BINS_DUPLICATE, [FATE_STALE] = BINS_STALE,
        [FATE_SUSPECT] = BINS_STALE,       [FATE_LATE] = BINS_LATE_AFTER_FILL,
        [FATE_JUMP] = BINS_REFUSED_JUMP,   [FATE_SOURCE] = BINS_REFUSED_SOURCE};
    bool within = fate == FATE_LATE || (fate == FATE_STALE && o->newest - seq < ORACLE_HISTORY &&
                                        o->newest - seq < o->options->sequence.window_bins &&
                                        what_of(o, seq) == HISTORY_LEFT);

    oracle_count(o, counter[fate]);
    if (fate == FATE_JUMP || fate == FATE_SOURCE) return;
    o->n_suspect = fate == FATE_SUSPECT ? o->n_suspect + 1 : 0;
    if (within) {
        o->count[SEQUENCE_LOST]--;
        oracle_count(o, SEQUENCE_REORDERED);
        set_history(o, seq, HISTORY_CAME);
    }
    if (fate != FATE_LATE) return;
    o->heard = true;
    o->t_heard_ns = t_recv_ns;
}

/* A reset: the readout leaves from neutral, or from where consumers have it, once more. */
static void begin_leaving(struct oracle *o)
{
    o->leaving = true;
    o->t_left_ns = 0;
}

/* What is missing before this bin: to be filled, or a reset; is there a gap? */
static bool bridge(struct oracle *o, uint64_t seq)
{
    uint64_t n_missing = seq - o->newest - 1, n_gap = n_missing + o->n_ahead;
    const struct line_options *p = o->options;
    bool fills = p->policy.on_gap != ON_GAP_RESET && n_gap <= p->sequence.max_gap_bins;

    o->count[SEQUENCE_LOST] += n_missing;
    for (uint64_t i = n_missing < ORACLE_HISTORY ? n_missing : ORACLE_HISTORY - 1; i; i--)
        set_history(o, seq - i, fills ? HISTORY_MADE : HISTORY_LEFT);
    o->newest = seq;
    o->n_ahead = 0;
    if (n_missing && !fills) {
        oracle_count(o, SEQUENCE_RESETS);
        begin_leaving(o);
    }
    o->open.n_fill = fills ? n_missing : 0;
    return n_gap > 0;
}

/* false: this bin is not for the decoder. */
static bool judge(struct oracle *o, const struct parcel *p, uint32_t i)
{
    uint64_t seq = p->seq + i;
    enum fate fate;

    if (i == 0) o->open.whose = numbers_whose(o, p);
    fate = fate_of(o, p->epoch, seq);
    oracle_count(o, BINS_IN);
    if (fate != FATE_DECODED && fate != FATE_RESTART) {
        pass_over(o, fate, seq, o->open.t_recv_ns);
        return false;
    }
    if (p->bin[i] == BIN_NOT_FINITE) {
        oracle_count(o, BINS_REFUSED_VALUE);
        return false;
    }
    o->n_suspect = 0;
    numbers_follow(o, p, i, fate == FATE_RESTART);
    o->open.gap = false;
    o->open.n_fill = 0;
    if (fate == FATE_RESTART) {
        oracle_count(o, SEQUENCE_RESTARTS);
        oracle_count(o, SEQUENCE_RESETS);
        o->n_pace = 0;
        o->has_pace = false;
        o->has_end = false;
        source_clock_init(&o->clock);
        begin_leaving(o);
    }
    if (fate == FATE_RESTART || !o->started)
        begin(o, p->epoch, seq);
    else
        o->open.gap = bridge(o, seq);
    set_history(o, seq, HISTORY_CAME);
    return true;
}

static void fill(struct oracle *o, uint64_t seq)
{
    struct due d = {.epoch = o->epoch,
                    .seq = seq - o->open.n_fill,
                    .t_arrived_ns = o->open.t_recv_ns,
                    .filled = true,
                    .first_filled = !o->open.fills};

    o->open.fills = true;
    o->open.n_fill--;
    oracle_count(o, SEQUENCE_FILLED);
    oracle_expect(o, &d);
}

/* When bin 0 would have come, by this bin. Numbers and times are modulo 2^64. */
static uint64_t zero_ns(const struct oracle *o, size_t i)
{
    return o->pace[i].t_ns - o->pace[i].seq * o->bin_ns;
}

static bool is_before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

/* A bin is at least so old when it arrives: as late after the others as its number does not say.
 * The others: as many as end SAFE, if they did not come faster than they were made; or earlier
 * ones. */
static uint64_t pace_age(struct oracle *o, uint64_t seq, uint64_t t_ns)
{
    uint64_t n = o->options->policy.safe_exit_bins, took_ns, least_ns;

    if (n < 4) n = 4;
    if (n > ORACLE_MAX_PACE) n = ORACLE_MAX_PACE;
    memmove(o->pace + 1, o->pace, (ORACLE_MAX_PACE - 1) * sizeof *o->pace);
    o->pace[0].seq = seq;
    o->pace[0].t_ns = t_ns;
    if (o->n_pace < ORACLE_MAX_PACE) o->n_pace++;
    least_ns = zero_ns(o, 0);
    if (o->n_pace >= n) {
        for (size_t i = 1; i < n; i++)
            if (is_before(zero_ns(o, i), least_ns)) least_ns = zero_ns(o, i);
        took_ns = t_ns - o->pace[n - 1].t_ns;
        if (!o->has_pace || took_ns >= (n - 1) * o->bin_ns || is_before(least_ns, o->t_zero_ns)) {
            o->has_pace = true;
            o->t_zero_ns = least_ns;
        }
    }
    return o->has_pace && is_before(o->t_zero_ns, zero_ns(o, 0)) ? zero_ns(o, 0) - o->t_zero_ns : 0;
}

/* Are there too many bins in a row that say the same? */
static void watch_signal(struct oracle *o, struct due *d, float value)
{
    uint64_t limit = value > 0.0f ? o->repeat_bins : o->silence_bins;

    if (d->huge || o->options->policy.on_silent == ON_SILENT_OFF) {
        o->n_same = 0;
        return;
    }
    o->n_same = o->n_same && memcmp(&value, &o->last_value, sizeof value) == 0 ? o->n_same + 1 : 1;
    o->last_value = value;
    d->no_signal = o->n_same >= limit;
    d->no_signal_safe = o->n_same >= limit + o->silent_lease_bins;
}

static void decode(struct oracle *o, const struct parcel *p, uint32_t i)
{
    struct due d = {.epoch = p->epoch,
                    .seq = p->seq + i,
                    .t_source_ns = p->t_source_ns ? p->t_source_ns + i * o->bin_ns : 0,
                    .t_arrived_ns = o->open.t_recv_ns,
                    .received = true};

    o->open.fills = false;
    d.pace_age_ns = pace_age(o, d.seq, d.t_arrived_ns);
    d.gap = o->open.gap;
    d.reset = i == 0 && (p->marks & LATENT_MARK_RESET);
    d.huge = p->bin[i] == BIN_HUGE;
    watch_signal(o, &d, p->value[i]);
    oracle_count(o, BINS_DECODED);
    oracle_expect(o, &d);
    o->heard = true;
    o->t_heard_ns = o->t_decoded_ns = o->open.t_recv_ns;
}

bool oracle_is_open(const struct oracle *o)
{
    return o->open.next < o->open.parcel.n_bins;
}

/* One frame, or the end of the message. Bins that are not decoded take no step of their own. */
static void step(struct oracle *o)
{
    struct oracle_open *m = &o->open;

    while (oracle_is_open(o)) {
        if (!m->is_judged && !judge(o, &m->parcel, m->next)) {
            m->next++;
            continue;
        }
        m->is_judged = m->n_fill > 0;
        if (m->n_fill)
            fill(o, m->parcel.seq + m->next);
        else
            decode(o, &m->parcel, m->next++);
        return;
    }
}

/* ---- time ---- */

static uint64_t largest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t frame_due_ns(const struct oracle *o)
{
    return largest(o->t_heard_ns + o->options->policy.missing_after_ns, o->t_made_ns + o->bin_ns);
}

/* What is due without input is made when its time comes, or when the daemon can act again. */
static void check_nothing_is_overdue(const struct oracle *o, uint64_t now_ns)
{
    const struct line_policy *policy = &o->options->policy;
    bool speaks = o->safe || policy->on_missing != ON_MISSING_SKIP;
    uint64_t due = frame_due_ns(o);

    if (o->heard && speaks)
        require(o, now_ns <= largest(due, o->t_free_ns), "%" PRIu64 " ns too late", now_ns - due);
    if (o->heard && !o->safe)
        require(o,
                now_ns <= largest(o->t_decoded_ns + policy->lease_ns - policy->safe_ramp_ns,
                                  o->t_free_ns),
                "the lease is over");
}

/* However much input waits, no step comes before what is due with it: the lease's end, and the
 * frames of SAFE that this input does not make. What falls due while such a frame is made comes
 * after the step. */
static void check_nothing_is_due(struct oracle *o, uint64_t now_ns)
{
    bool ticked = o->ticked;

    o->ticked = false;
    if (!o->heard || ticked) return;
    if (o->safe)
        require(o, now_ns < frame_due_ns(o) + o->bin_ns, "SAFE waits for input");
    else
        require(o, now_ns < o->t_decoded_ns + o->options->policy.lease_ns,
                "the lease waits for input");
}

static void open_entry(struct oracle *o, const struct entry_trace *trace)
{
    o->trace = trace;
    o->at_reading = o->at_frame = 0;
}

static void close_entry(const struct oracle *o)
{
    require(o, o->at_frame == o->trace->n_frames, "a frame too many");
    require(o, o->at_reading == o->trace->n_readings, "the clock was asked too often");
}

void oracle_on_parcel(struct oracle *o, const struct parcel *parcel, uint64_t now_ns,
                      uint64_t t_recv_ns, const struct entry_trace *trace)
{
    static const enum counter counter[] = {[PARCEL_BINS] = MESSAGES_ACCEPTED,
                                           [PARCEL_GARBAGE] = MESSAGES_REFUSED_FORMAT,
                                           [PARCEL_PARTS] = MESSAGES_REFUSED_LENGTH,
                                           [PARCEL_WIDTH] = MESSAGES_REFUSED_SHAPE};

    open_entry(o, trace);
    check_nothing_is_due(o, now_ns);
    oracle_count(o, MESSAGES_IN);
    if (parcel->kind == PARCEL_BINS && numbers_wrap(o, parcel)) {
        oracle_count(o, MESSAGES_REFUSED_SEQUENCE);
        close_entry(o);
        return;
    }
    oracle_count(o, counter[parcel->kind]);
    if (parcel->kind == PARCEL_BINS)
        o->open = (struct oracle_open){.parcel = *parcel, .t_recv_ns = t_recv_ns};
    close_entry(o);
}

void oracle_on_step(struct oracle *o, uint64_t now_ns, const struct entry_trace *trace)
{
    open_entry(o, trace);
    check_nothing_is_due(o, now_ns);
    step(o);
    close_entry(o);
}

/* The number of the last bin that had its step or its frame. */
static uint64_t newest(const struct oracle *o)
{
    const struct oracle_open *m = &o->open;

    return m->is_judged ? m->parcel.seq + m->next - 1 - m->n_fill : o->newest;
}

/* At most one frame, and none before its time. */
static void expect_made(struct oracle *o, uint64_t now_ns)
{
    const struct line_policy *policy = &o->options->policy;
    struct due d = {.epoch = o->epoch, .seq = newest(o), .repeats = true};

    require(o, o->safe || now_ns >= o->t_heard_ns + policy->missing_after_ns, "too early");
    if (!o->safe && policy->on_missing == ON_MISSING_PREDICT) {
        if (o->n_ahead < o->options->sequence.max_gap_bins && o->newest < UINT64_MAX) {
            o->n_ahead++;
            o->newest++;
            oracle_count(o, SEQUENCE_LOST);
            set_history(o, o->newest, HISTORY_MADE);
            d = (struct due){
                .epoch = o->epoch, .seq = o->newest, .filled = true, .predicted = true};
        } else {
            oracle_go_safe(o, now_ns, o->t_decoded_ns + policy->lease_ns, false);
        }
    }
    if (!o->safe && policy->on_missing == ON_MISSING_SAFE)
        oracle_go_safe(o, now_ns, o->t_decoded_ns + policy->lease_ns, false);
    oracle_count(o, SEQUENCE_MISSING);
    o->t_made_ns = now_ns;
    oracle_expect(o, &d);
}

void oracle_on_tick(struct oracle *o, uint64_t now_ns, bool waits, const struct entry_trace *trace)
{
    const struct line_policy *policy = &o->options->policy;
    uint64_t lease_end_ns = o->t_decoded_ns + policy->lease_ns;
    uint64_t safe_from_ns = waits ? lease_end_ns : lease_end_ns - policy->safe_ramp_ns;

    open_entry(o, trace);
    o->ticked = true;
    if (!waits) check_nothing_is_overdue(o, now_ns);
    if (o->heard && !o->safe && now_ns >= safe_from_ns)
        oracle_go_safe(o, now_ns, lease_end_ns, false);
    require(o, o->safe || !waits || trace->n_readings == 0, "what waits is not missing");
    if (trace->n_readings) expect_made(o, now_ns);
    close_entry(o);
}

void oracle_on_operator(struct oracle *o, enum operator_act act, uint64_t now_ns,
                        const struct entry_trace *trace)
{
    open_entry(o, trace);
    switch (act) {
    case OPERATOR_RESET:
        oracle_count(o, SEQUENCE_RESETS);
        begin_leaving(o);
        break;
    case OPERATOR_SAFE_OFF:
        if (!o->stopped) o->asked = o->locked = false;
        break;
    case OPERATOR_STOP:
        o->stopped = true;
        __attribute__((fallthrough));
    case OPERATOR_SAFE_ON:
        oracle_go_safe(o, now_ns, UINT64_MAX, true);
        expect_made(o, now_ns);
        break;
    }
    close_entry(o);
}

/* Nothing leaves, and of what consumers have nothing changes but that latents are not shown again
 * under another id. */
void oracle_on_promotion(struct oracle *o, uint64_t decoder_id, const struct entry_trace *trace)
{
    open_entry(o, trace);
    o->decoder_id = decoder_id;
    o->is_swapped = true;
    o->n_latents = 0;
    close_entry(o);
}

/* ---- the sum ---- */

/* Three times the longest of training, in at least 250 ms. */
static uint64_t too_many(const struct oracle *o, uint32_t longest)
{
    uint64_t n = 3 * (uint64_t)longest;

    while (n * o->bin_ns < 250000000) n++;
    return n;
}

void oracle_init(struct oracle *o, const struct line_options *options,
                 const struct latent_info *info, uint64_t seed)
{
    *o = (struct oracle){.options = options,
                         .readout = info->readout,
                         .bin_ns = (uint64_t)info->bin_width_us * 1000,
                         .seed = seed,
                         .leaving = true,
                         .clock = {.drift_error_ppb = SOURCE_CLOCK_MOST_PPB},
                         .safe = options->policy.safe_start,
                         .locked = options->policy.safe_start && !options->policy.safe_exit_bins};
    o->silence_bins = too_many(o, info->longest_silence);
    o->repeat_bins = too_many(o, info->longest_repeat);
    while (o->silent_lease_bins * o->bin_ns + options->policy.safe_ramp_ns <
           options->policy.lease_ns)
        o->silent_lease_bins++;
}

void oracle_check(const struct oracle *o, const struct ledger_values *v)
{
    char text[256];

    require(o, ledger_check(v, text, sizeof text), "%s", text);
    for (enum counter c = 0; c < N_COUNTERS; c++) {
        if (c == STATE_LAST_SEQ || c == STATE_LAST_EPOCH || c == STATE_STATE) continue;
        require(o, v->value[c] == o->count[c], "counter %s is %" PRIu64 ", not %" PRIu64,
                counter_name(c), v->value[c], o->count[c]);
    }
}
