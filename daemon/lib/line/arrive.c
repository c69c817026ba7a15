/* Message -> checks -> bins -> sequence, in one straight line to the decoder. */
#include "line/arrive.h"

#include "line/account.h"
#include "line/decode.h"
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

/* The order of the checks is the contract's: shape, then sequence, then values. */
static void on_bin(struct line *line, const struct wire_bins *bins, size_t i, uint64_t t_recv_ns)
{
    enum wire_refusal refusal = wire_bin_counts(bins, i, line->counts);
    struct bin_frame b = bin_frame_of(line, bins, i, t_recv_ns);
    struct sequence_verdict v;

    if (refusal == WIRE_REFUSED_SHAPE) {
        account_dropped(line, BINS_REFUSED_SHAPE, b.frame.epoch, b.frame.seq);
        return;
    }
    sequence_check(&line->state.sequence, b.frame.epoch, b.frame.seq, &v);
    if (v.outcome != SEQUENCE_DECODE) {
        drop(line, &v, t_recv_ns);
        return;
    }
    if (refusal != WIRE_OK) {
        account_dropped(line, BINS_REFUSED_VALUE, b.frame.epoch, b.frame.seq);
        return;
    }
    sequence_apply(&line->state.sequence, &v);
    account_sequence(line);
    decode_prepare(line, &v, t_recv_ns);
    if (decode_bin(line, &b, v.after_gap ? LATENT_GAP : 0)) silence_on_decoded(line, t_recv_ns);
}

/* Numbers and times of the bins of one message count up from its first and may not
 * wrap. */
static bool wraps(const struct line *line, const struct wire_bins *bins)
{
    uint64_t last;

    return __builtin_add_overflow(bins->seq, bins->n_bins, &last) ||
           __builtin_add_overflow(bins->t_source_ns, bins->n_bins * line->bin_ns, &last);
}

static enum wire_refusal message_check(struct line *line, const void *payload, size_t n_bytes,
                                       struct wire_bins *bins)
{
    enum wire_refusal refusal;

    if (n_bytes > line->max_payload) return WIRE_REFUSED_LENGTH;
    refusal = wire_unpack_bins(&line->arena, payload, n_bytes, bins);
    if (refusal != WIRE_OK) return refusal;
    if (bins->n_channels != line->n_channels) return WIRE_REFUSED_SHAPE;
    if (bins->bin_width_us != line->bin_width_us) return WIRE_REFUSED_SHAPE;
    return wraps(line, bins) ? WIRE_REFUSED_SEQUENCE : WIRE_OK;
}

void arrive_message(struct line *line, const void *payload, size_t n_bytes, uint64_t t_recv_ns)
{
    struct wire_bins bins;
    enum wire_refusal refusal = message_check(line, payload, n_bytes, &bins);

    account_message(line, refusal);
    if (refusal != WIRE_OK) return;
    for (size_t i = 0; i < bins.n_bins; i++) on_bin(line, &bins, i, t_recv_ns);
}
