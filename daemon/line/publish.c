/* Stamp, pack, send. */
#include "line/publish.h"

#include <assert.h>

void publish_make_safe(const struct pipeline *p, struct latent_frame *values)
{
    *values = (struct latent_frame){.flags = LATENT_SAFE};
    if (!p->options.send_readout) return;
    values->n_readout = p->n_readout;
    values->readout = p->neutral;
}

/* A bin that was not received has no arrival, so no budget to keep. */
void publish_frame(struct pipeline *p, struct passage *b)
{
    struct wire_frame *f = &b->frame;
    size_t n_bytes;

    f->pub_seq = p->state.pub_seq;
    f->clock_id = p->options.clock_id;
    f->decoder_id = p->decoder_id;
    f->valid_for_ns = p->options.valid_for_ns;
    f->values.flags |=
        LATENT_AGE_UNKNOWN; /* the source clock is not mapped in this version */
    f->t_publish_ns = line_now(p);
    if (b->received) {
        f->budget_left_ns =
            (int64_t)(p->options.budget_ns - (f->t_publish_ns - f->t_recv_ns));
        if (f->budget_left_ns < 0) f->values.flags |= LATENT_LATE;
    }
    n_bytes = wire_pack_frame(f, p->buffer, p->n_buffer);
    assert(n_bytes > 0);
    b->sent = line_hand_over(p, f, n_bytes);
    b->t_done_ns = line_now(p);
    if (b->sent == 0) p->state.pub_seq++;
}
