/* What the decoder is asked for a bin that came, and for one that did not. */
#include "line/decode.h"

#include "line/account.h"
#include "line/publish.h"

static void tell(const struct pipeline *p, enum line_action action, uint64_t epoch,
                 uint64_t seq)
{
    const struct line_event event = {
        .kind = LINE_ACTION, .what = action, .epoch = epoch, .seq = seq};

    line_tell(p, &event);
}

void decode_reset(struct pipeline *p)
{
    tell(p, LINE_START, p->state.sequence.epoch, p->state.sequence.newest);
    latent_decoder_reset(p->decoder);
    account_reset(p);
}

/* Output that is not finite must not reach a device: SAFE goes out in its place and the
 * decoder starts anew. */
static void replace_bad_output(struct pipeline *p, struct passage *b)
{
    publish_make_safe(p, &b->frame.values);
    decode_reset(p);
}

static void fill_one(struct pipeline *p, uint64_t epoch, uint64_t seq)
{
    struct passage b = {.frame = {.epoch = epoch, .seq = seq}};

    tell(p, LINE_PREDICT, epoch, seq);
    if (latent_decoder_predict(p->decoder, &b.frame.values)) replace_bad_output(p, &b);
    b.frame.values.flags |= LATENT_FILLED;
    publish_frame(p, &b);
    account_made(p, &b, SEQUENCE_FILLED);
}

void decode_prepare(struct pipeline *p, const struct sequence_verdict *v)
{
    if (v->reset) decode_reset(p);
    for (uint64_t i = v->n_fill; i > 0; i--) fill_one(p, v->epoch, v->seq - i);
}

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
    tell(p, LINE_STEP, b->frame.epoch, b->frame.seq);
    status = latent_decoder_step(p->decoder, &bin, &b->frame.values);
    if (status == LATENT_E_SHAPE || status == LATENT_E_VALUE) {
        account_dropped(p, refused_by_core(status), b->frame.epoch, b->frame.seq);
        return;
    }
    if (status) replace_bad_output(p, b);
    b->frame.values.flags |= extra_flags;
    publish_frame(p, b);
    account_decoded(p, b);
}
