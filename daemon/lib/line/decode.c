/* What the decoder is asked for a bin that came, and for one that did not. */
#include "line/decode.h"

#include <string.h>

#include "line/account.h"
#include "line/publish.h"
#include "line/silence.h"

/* Consumers are led from what they saw to what the new decoder says. */
void decode_reset(struct pipeline *p)
{
    line_tell_action(p, LINE_START, p->state.sequence.epoch, p->state.sequence.newest);
    latent_decoder_reset(p->decoder);
    p->state.easing = true;
    account_reset(p);
}

/* Output that is not finite must not reach a device: SAFE goes out in its place and the
 * decoder starts anew. */
static void replace_bad_output(struct pipeline *p, struct passage *b)
{
    uint32_t kept = b->frame.values.flags & LATENT_RESET;

    publish_enter_safe(p, SAFE_OUTPUT, line_now(p), LINE_NEVER);
    b->frame.values = (struct latent_frame){.flags = kept};
    b->failed = true;
    decode_reset(p);
}

/* ---- bins that are missing ---- */

/* One bin without input, or with one that takes its place. */
static int advance(struct pipeline *p, struct passage *b, enum line_on_gap how)
{
    const struct {
        enum line_action action;
        const float *counts;
    } input[] = {
        [ON_GAP_PREDICT] = {LINE_PREDICT, NULL},
        [ON_GAP_ZERO] = {LINE_STEP_ZERO, p->zeros},
        [ON_GAP_HOLD_INPUT] = {LINE_STEP_HELD, p->last_counts},
        [ON_GAP_MEAN] = {LINE_STEP_MEAN, p->mean},
    };
    const struct latent_bin bin = {
        .seq = b->frame.seq, .n_channels = p->n_channels, .counts = input[how].counts};

    line_tell_action(p, input[how].action, b->frame.epoch, b->frame.seq);
    if (!bin.counts) return latent_decoder_predict(p->decoder, &b->frame.values);
    return latent_decoder_step(p->decoder, &bin, &b->frame.values);
}

static void fill_one(struct pipeline *p, struct passage *b, enum line_on_gap how,
                     enum counter made_as)
{
    if (advance(p, b, how)) replace_bad_output(p, b);
    b->frame.values.flags |= LATENT_FILLED;
    publish_frame(p, b);
    account_made(p, b, made_as);
}

void decode_prepare(struct pipeline *p, const struct sequence_verdict *v, uint64_t t_recv_ns)
{
    if (v->reset) decode_reset(p);
    for (uint64_t i = v->n_fill; i > 0; i--) {
        struct passage b = {.frame = {.epoch = v->epoch, .seq = v->seq - i},
                            .t_arrived_ns = t_recv_ns};

        fill_one(p, &b, p->options.policy.on_gap, SEQUENCE_FILLED);
    }
}

bool decode_ahead(struct pipeline *p)
{
    struct sequence *s = &p->state.sequence;
    struct passage b = {0};

    if (!sequence_advance(s)) return false;
    account_sequence(p);
    b.frame.epoch = s->epoch;
    b.frame.seq = s->newest;
    fill_one(p, &b, ON_GAP_PREDICT, SEQUENCE_MISSING);
    return true;
}

/* ---- the bin that came ---- */

/* Input that the core refuses after all is refused here too; its state is then
 * unchanged. */
static enum counter refused_by_core(int status)
{
    return status == LATENT_E_SHAPE ? BINS_REFUSED_SHAPE : BINS_REFUSED_VALUE;
}

void decode_bin(struct pipeline *p, struct passage *b, uint32_t extra_flags)
{
    const struct latent_bin bin = {.seq = b->frame.seq,
                                   .t_source_ns = b->frame.t_source_ns,
                                   .marks = b->frame.marks,
                                   .n_channels = p->n_channels,
                                   .counts = p->counts};
    int status;

    b->t_start_ns = line_now(p);
    line_tell_action(p, LINE_STEP, b->frame.epoch, b->frame.seq);
    status = latent_decoder_step(p->decoder, &bin, &b->frame.values);
    if (status == LATENT_E_SHAPE || status == LATENT_E_VALUE) {
        account_dropped(p, refused_by_core(status), b->frame.epoch, b->frame.seq);
        return;
    }
    if (status)
        replace_bad_output(p, b);
    else
        memcpy(p->last_counts, p->counts, p->n_channels * sizeof *p->counts);
    b->frame.values.flags |= extra_flags;
    publish_frame(p, b);
    account_decoded(p, b);
    silence_on_decoded(p, b->frame.t_recv_ns);
}
