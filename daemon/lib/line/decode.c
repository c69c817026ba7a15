/* What the decoder is asked for a bin that came, and for one that did not. */
#include "line/decode.h"

#include <string.h>

#include "line/account.h"
#include "line/age.h"
#include "line/lease.h"
#include "line/publish.h"
#include "line/still.h"

/* Consumers are led from what they saw to what the new decoder says. */
void decode_reset(struct line *line)
{
    line_tell_action(line, LINE_START, line->state.sequence.epoch, line->state.sequence.newest);
    latent_decoder_reset(line->decoder);
    line->state.easing = true;
    line->state.eased = (struct eased){.leaving = true};
    account_reset(line);
}

/* Output that is not finite must not reach a device: SAFE goes out in its place and the
 * decoder starts anew. */
static void replace_bad_output(struct line *line, struct bin_frame *b)
{
    uint32_t kept = b->frame.values.flags & LATENT_RESET;

    uint64_t n_failed = atomic_load_explicit(&line->n_failed, memory_order_relaxed);

    publish_enter_safe(line, SAFE_OUTPUT, line_now(line), LINE_NEVER);
    atomic_store_explicit(&line->n_failed, n_failed + 1, memory_order_relaxed);
    b->frame.values = (struct latent_frame){.flags = kept};
    b->failed = true;
    decode_reset(line);
}

/* ---- bins that are missing ---- */

/* One bin without input, or with one that takes its place. */
static int advance(struct line *line, struct bin_frame *b, enum line_on_gap how)
{
    const struct {
        enum line_action action;
        const float *counts;
    } input[] = {
        [ON_GAP_PREDICT] = {LINE_PREDICT, NULL},
        [ON_GAP_ZERO] = {LINE_STEP_ZERO, line->zeros},
        [ON_GAP_HOLD_INPUT] = {LINE_STEP_HELD, line->last_counts},
        [ON_GAP_MEAN] = {LINE_STEP_MEAN, line->mean},
    };
    const struct latent_bin bin = {
        .seq = b->frame.seq,
        .n_channels = line->n_channels,
        .counts = input[how].counts,
        .no_learning = 1,
    };

    line_tell_input(line, input[how].action, b->frame.epoch, b->frame.seq,
                    bin.counts ? &bin : NULL);
    line->n_steps++;
    if (!bin.counts) return latent_decoder_predict(line->decoder, &b->frame.values);
    return latent_decoder_step(line->decoder, &bin, &b->frame.values);
}

static void fill_one(struct line *line, struct bin_frame *b, enum line_on_gap how,
                     enum counter made_as)
{
    if (advance(line, b, how)) replace_bad_output(line, b);
    b->frame.values.flags |= LATENT_FILLED;
    publish_frame(line, b);
    account_made(line, b, made_as);
}

void decode_fill(struct line *line, uint64_t epoch, uint64_t seq, uint64_t t_arrived_ns)
{
    struct bin_frame b = {.frame = {.epoch = epoch, .seq = seq}, .t_arrived_ns = t_arrived_ns};

    fill_one(line, &b, line->options.policy.on_gap, SEQUENCE_FILLED);
}

bool decode_ahead(struct line *line)
{
    struct sequence *s = &line->state.sequence;
    struct bin_frame b = {0};

    if (!sequence_advance(s)) return false;
    account_sequence(line);
    b.frame.epoch = s->epoch;
    b.frame.seq = s->newest;
    fill_one(line, &b, ON_GAP_PREDICT, SEQUENCE_MISSING);
    return true;
}

/* ---- the bin that came ---- */

/* Input that the core refuses after all is refused here too; its state is then
 * unchanged. */
static enum counter refused_by_core(int status)
{
    return status == LATENT_E_SHAPE ? BINS_REFUSED_SHAPE : BINS_REFUSED_VALUE;
}

/* What came becomes what came last. */
static void take_input(struct line *line, struct bin_frame *b)
{
    b->no_signal = still_on_bin(line, b->t_start_ns);
    if (b->no_signal) b->frame.values.flags |= LATENT_NO_SIGNAL;
    memcpy(line->last_counts, line->counts, line->n_channels * sizeof *line->counts);
}

/* By what was decoded; what a reset or a restart means for it, the next marks tell. */
static void follow_trial(struct line *line, const struct bin_frame *b)
{
    if (b->frame.marks & LATENT_MARK_TRIAL_START) line->is_in_trial = true;
    if (b->frame.marks & LATENT_MARK_TRIAL_END || b->frame.values.flags & LATENT_OUTSIDE)
        line->is_in_trial = false;
}

static void fail_input(struct line *line, struct bin_frame *b)
{
    replace_bad_output(line, b);
    still_on_failure(line);
}

bool decode_bin(struct line *line, struct bin_frame *b, uint32_t extra_flags)
{
    struct latent_bin bin = {.seq = b->frame.seq,
                             .t_source_ns = b->frame.t_source_ns,
                             .marks = b->frame.marks,
                             .n_channels = line->n_channels,
                             .counts = line->counts};
    int status;

    b->t_start_ns = line_now(line);
    lease_on_step(line, b->t_start_ns);
    if (!line->state.safe.on && line_is_masked_too_much(line))
        publish_enter_safe(line, SAFE_MASKED, b->t_start_ns, LINE_NEVER);
    bin.no_learning = line->state.safe.on; /* in SAFE nobody vouches for it */
    age_on_bin(line, b);
    line_tell_input(line, LINE_STEP, b->frame.epoch, b->frame.seq, &bin);
    line->n_steps++;
    status = latent_decoder_step(line->decoder, &bin, &b->frame.values);
    if (status == LATENT_E_SHAPE || status == LATENT_E_VALUE) {
        account_dropped(line, refused_by_core(status), b->frame.epoch, b->frame.seq);
        return false;
    }
    follow_trial(line, b);
    if (status)
        fail_input(line, b);
    else
        take_input(line, b);
    b->frame.values.flags |= extra_flags;
    publish_frame(line, b);
    account_decoded(line, b);
    return true;
}
