/* Where the line meets what is not its own: the clock, the sink, the taps. */
#include "line/inside.h"

void line_tell(const struct line *line, const struct line_event *event)
{
    for (size_t i = 0; i < line->n_taps; i++) line->taps[i].on_event(line->taps[i].ctx, event);
}

void line_tell_action(const struct line *line, enum line_action action, uint64_t epoch,
                      uint64_t seq)
{
    line_tell_input(line, action, epoch, seq, NULL);
}

void line_tell_input(const struct line *line, enum line_action action, uint64_t epoch, uint64_t seq,
                     const struct latent_bin *input)
{
    const struct line_event event = {
        .kind = LINE_ACTION, .what = action, .epoch = epoch, .seq = seq, .input = input};

    line_tell(line, &event);
}

uint64_t line_now(struct line *line)
{
    struct line_event said = {.kind = LINE_CLOCK};

    said.t_ns = line->clock.now_ns(line->clock.ctx);
    line_tell(line, &said);
    return said.t_ns;
}

int line_hand_over(struct line *line, const struct wire_frame *f, size_t n_bytes)
{
    const struct line_event frame = {.kind = LINE_FRAME,
                                     .what = f->values.flags,
                                     .epoch = f->epoch,
                                     .seq = f->seq,
                                     .bytes = line->buffer,
                                     .n_bytes = n_bytes,
                                     .values = &f->values};
    struct line_event sent = {.kind = LINE_SENT, .epoch = f->epoch, .seq = f->seq};
    int status;

    line_tell(line, &frame);
    status = line->sink.send(line->sink.ctx, line->topic, line->buffer, n_bytes);
    sent.what = status != 0;
    line_tell(line, &sent);
    return status;
}

size_t line_mask_bytes(const struct line *line)
{
    return ((size_t)line->n_channels + 7) / 8;
}

size_t line_normalisation_bytes(const struct line *line)
{
    return 2 * line->n_channels * sizeof(double);
}

void line_tell_normalisation(const struct line *line, struct line_normalisation *out)
{
    out->decoder_id = line->seat->decoder_id;
    out->kind = line->seat->info.normalise;
    latent_decoder_normalisation(line->decoder, &out->now, out->mean, out->sd);
}

bool line_is_masked_too_much(const struct line *line)
{
    uint64_t n_masked = latent_decoder_masked(line->decoder, NULL, 0);

    return 100 * n_masked > (uint64_t)line->options.policy.max_masked * line->n_channels;
}

void line_newest(const struct line *line, uint64_t *epoch, uint64_t *seq)
{
    const struct open_message *m = &line->open;

    *epoch = line->state.sequence.epoch;
    *seq = line->state.sequence.newest;
    if (m->is_judged) *seq = m->verdict.seq - 1 - m->n_fill;
}
