/* Message -> checks -> bins -> sequence, in one straight line to the decoder, a step at a time. */
#include "line/arrive.h"

#include "line/account.h"
#include "line/age.h"
#include "line/decode.h"
#include "line/lease.h"
#include "line/silence.h"

static struct bin_frame bin_frame_of(const struct line *line, const struct wire_bins *bins,
                                     size_t i, uint64_t t_recv_ns)
{
    struct bin_frame b = {.received = true, .t_arrived_ns = t_recv_ns};
    struct wire_bin bin;

    wire_bin_at(bins, i, &bin);
    b.frame.epoch = bins->epoch;
    b.frame.seq = bins->seq + i;
    if (bins->t_source_ns) b.frame.t_source_ns = bins->t_source_ns + i * line->bin_ns;
    b.frame.t_recv_ns = t_recv_ns;
    b.frame.marks = bin.marks;
    b.frame.event_id = bin.event_id;
    return b;
}

static void drop(struct line *line, const struct sequence_verdict *v, uint64_t t_recv_ns)
{
    static const enum counter outcome[] = {
        [SEQUENCE_DUPLICATE] = BINS_DUPLICATE,
        [SEQUENCE_STALE] = BINS_STALE,
        [SEQUENCE_LATE_AFTER_FILL] = BINS_LATE_AFTER_FILL,
    };

    sequence_apply(&line->state.sequence, v);
    account_dropped(line, outcome[v->outcome], v->epoch, v->seq);
    account_sequence(line);
    if (v->outcome == SEQUENCE_LATE_AFTER_FILL) silence_on_heard(line, t_recv_ns);
}

/* The values of bin i, which must be of the model's kind. */
static enum wire_refusal bin_counts(struct line *line, const struct wire_bins *bins, size_t i)
{
    enum wire_refusal refusal = wire_bin_counts(bins, i, line->counts);
    size_t n = line->n_channels;

    if (refusal != WIRE_OK) return refusal;
    return latent_input_check(line->input, line->counts, n) == n ? WIRE_OK : WIRE_REFUSED_VALUE;
}

/* ---- whose message it is ---- */

static struct trust_place place_of(const struct bin_frame *b)
{
    return (struct trust_place){b->frame.epoch, b->frame.seq, b->frame.t_source_ns};
}

/* Told once of each message, at bin `next`. */
static void place(struct line *line, const struct bin_frame *b)
{
    struct open_message *m = &line->open;
    const struct bin_frame end = bin_frame_of(line, &m->bins, m->bins.n_bins - 1, m->t_recv_ns);
    const struct trust_message message = {place_of(b), place_of(&end), m->t_recv_ns};
    struct trust *t = &line->state.trust;

    m->is_placed = true;
    m->trust = trust_judge(t, &line->trust, &line->state.sequence, &message);
    trust_apply(t, &line->trust, m->trust, &message);
    sources_on_message(&line->sources, &line->trust, line->options.policy.safe_exit_bins, &message);
}

static bool is_refused(enum trust_verdict verdict)
{
    return verdict == TRUST_JUMP || verdict == TRUST_TIME || verdict == TRUST_SOURCE;
}

/* It moves nothing. */
static void refuse(struct line *line, const struct bin_frame *b)
{
    const struct sequence *s = &line->state.sequence;
    enum trust_verdict verdict = line->open.trust;
    uint64_t epoch = b->frame.epoch, seq = b->frame.seq;
    const struct {
        enum misfit what;
        enum counter outcome;
        uint64_t found, expected;
    } of[] = {
        [TRUST_JUMP] = {MISFIT_NUMBER, BINS_REFUSED_JUMP, seq, s->newest},
        [TRUST_TIME] = {MISFIT_TIME, BINS_REFUSED_JUMP, b->frame.t_source_ns,
                        line->state.trust.t_source_ns},
        [TRUST_SOURCE] = {MISFIT_EPOCH, BINS_REFUSED_SOURCE, epoch, s->epoch},
    };

    misfit_expect(&line->misfits, of[verdict].what, of[verdict].expected);
    misfit_note(&line->misfits, of[verdict].what, of[verdict].found, epoch);
    account_dropped(line, of[verdict].outcome, epoch, seq);
}

/* ---- a bin ---- */

/* What it says, to be compared; its counts are those in line.counts. */
static uint64_t print_of(const struct line *line, const struct bin_frame *b)
{
    return sources_print(line->counts, line->n_channels, b->frame.t_source_ns, b->frame.event_id);
}

static void drop_bin(struct line *line, const struct bin_frame *b, enum wire_refusal refusal)
{
    const struct trust_place at = place_of(b);

    drop(line, &line->open.verdict, line->open.t_recv_ns);
    sources_on_repeated(&line->sources, &line->trust, line->options.policy.safe_exit_bins, &at,
                        refusal == WIRE_OK ? print_of(line, b) : 0, line->open.t_recv_ns);
}

/* A bin that fits is the newest of its source, or the first of a new one. */
static void take(struct line *line, const struct bin_frame *b)
{
    struct open_message *m = &line->open;
    const struct sequence_verdict *v = &m->verdict;

    sequence_apply(&line->state.sequence, v);
    account_sequence(line);
    if (v->reset) decode_reset(line);
    if (v->restart) {
        age_on_restart(line);
        trust_begin(&line->state.trust, b->frame.t_source_ns, m->t_recv_ns);
        sources_on_restart(&line->sources);
        m->trust = TRUST_INCUMBENT;
    }
    trust_on_bin(&line->state.trust, b->frame.t_source_ns);
    m->is_judged = true;
    m->n_fill = v->n_fill;
}

/* Is bin `next` for the decoder? The order of the checks is the contract's: shape, then sequence,
 * then values. What is not is counted here. */
static bool judge(struct line *line, const struct bin_frame *b)
{
    struct open_message *m = &line->open;
    enum wire_refusal refusal = bin_counts(line, &m->bins, m->next);
    struct sequence_verdict *v = &m->verdict;

    if (refusal == WIRE_REFUSED_SHAPE) {
        account_dropped(line, BINS_REFUSED_SHAPE, b->frame.epoch, b->frame.seq);
        return false;
    }
    if (!m->is_placed) place(line, b);
    if (is_refused(m->trust)) {
        refuse(line, b);
        return false;
    }
    if (m->trust == TRUST_RESTART)
        sequence_restart(b->frame.epoch, b->frame.seq, v);
    else
        sequence_check(&line->state.sequence, b->frame.epoch, b->frame.seq, v);
    if (v->outcome != SEQUENCE_DECODE) {
        drop_bin(line, b, refusal);
        return false;
    }
    if (refusal != WIRE_OK) {
        account_dropped(line, BINS_REFUSED_VALUE, b->frame.epoch, b->frame.seq);
        return false;
    }
    take(line, b);
    return true;
}

/* ---- the message ---- */

/* Numbers and times of the bins of one message count up from its first and may not
 * wrap. */
static bool wraps(const struct line *line, const struct wire_bins *bins)
{
    uint64_t last;

    return __builtin_add_overflow(bins->seq, bins->n_bins, &last) ||
           __builtin_add_overflow(bins->t_source_ns, bins->n_bins * line->bin_ns, &last);
}

static enum wire_refusal misfit_refuse(struct line *line, enum misfit what, uint64_t found,
                                       uint64_t epoch)
{
    misfit_note(&line->misfits, what, found, epoch);
    return what == MISFIT_BYTES ? WIRE_REFUSED_LENGTH : WIRE_REFUSED_SHAPE;
}

static enum wire_refusal message_check(struct line *line, const void *payload, size_t n_bytes,
                                       struct wire_bins *bins)
{
    enum wire_refusal refusal;

    if (n_bytes == 0 || n_bytes > line->max_payload)
        return misfit_refuse(line, MISFIT_BYTES, n_bytes, 0);
    refusal = wire_unpack_bins(&line->arena, payload, n_bytes, bins);
    if (refusal != WIRE_OK && refusal != WIRE_REFUSED_SHAPE) return refusal;
    if (bins->n_channels != line->n_channels)
        return misfit_refuse(line, MISFIT_CHANNELS, bins->n_channels, bins->epoch);
    if (bins->bin_width_us != line->bin_width_us)
        return misfit_refuse(line, MISFIT_BIN_WIDTH, bins->bin_width_us, bins->epoch);
    return wraps(line, bins) ? WIRE_REFUSED_SEQUENCE : WIRE_OK;
}

void arrive_message(struct line *line, const void *payload, size_t n_bytes, uint64_t t_recv_ns)
{
    struct wire_bins bins;
    enum wire_refusal refusal = message_check(line, payload, n_bytes, &bins);

    account_message(line, refusal);
    if (refusal == WIRE_OK)
        line->open = (struct open_message){.bins = bins, .t_recv_ns = t_recv_ns};
}

bool arrive_is_open(const struct line *line)
{
    return line->open.next < line->open.bins.n_bins;
}

bool arrive_begins_trial(const struct line *line)
{
    const struct open_message *m = &line->open;
    const struct bin_frame b = bin_frame_of(line, &m->bins, m->next, m->t_recv_ns);
    struct sequence_verdict v;

    if (m->is_judged || !(b.frame.marks & LATENT_MARK_TRIAL_START)) return false;
    sequence_check(&line->state.sequence, b.frame.epoch, b.frame.seq, &v);
    return v.outcome == SEQUENCE_DECODE;
}

static void decode_next(struct line *line, struct bin_frame *b)
{
    struct open_message *m = &line->open;

    m->is_judged = false;
    m->next++;
    if (!decode_bin(line, b, m->verdict.after_gap ? LATENT_GAP : 0)) return;
    silence_on_decoded(line, m->t_recv_ns);
    sources_on_decoded(&line->sources, b->frame.seq, print_of(line, b));
}

static void begin_filling(struct line *line)
{
    if (line->options.contract != 1) lease_on_step(line, line_now(line));
}

void arrive_step(struct line *line)
{
    struct open_message *m = &line->open;

    for (; arrive_is_open(line); m->next++) {
        struct bin_frame b = bin_frame_of(line, &m->bins, m->next, m->t_recv_ns);

        if (!m->is_judged && !judge(line, &b)) continue;
        if (m->n_fill && m->n_fill == m->verdict.n_fill) begin_filling(line);
        if (m->n_fill)
            decode_fill(line, m->verdict.epoch, m->verdict.seq - m->n_fill--, m->t_recv_ns);
        else
            decode_next(line, &b);
        return;
    }
}

void arrive_drop(struct line *line)
{
    line->open = (struct open_message){0};
}
