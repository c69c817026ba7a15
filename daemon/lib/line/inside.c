/* Where the line meets what is not its own: the clock, the sink, the tap. */
#include "line/inside.h"

void line_tell(const struct pipeline *p, const struct line_event *event)
{
    if (p->tap.on_event) p->tap.on_event(p->tap.ctx, event);
}

void line_tell_action(const struct pipeline *p, enum line_action action, uint64_t epoch,
                      uint64_t seq)
{
    const struct line_event event = {
        .kind = LINE_ACTION, .what = action, .epoch = epoch, .seq = seq};

    line_tell(p, &event);
}

uint64_t line_now(struct pipeline *p)
{
    struct line_event said = {.kind = LINE_CLOCK};

    said.t_ns = p->clock.now_ns(p->clock.ctx);
    line_tell(p, &said);
    return said.t_ns;
}

int line_hand_over(struct pipeline *p, const struct wire_frame *f, size_t n_bytes)
{
    const struct line_event frame = {.kind = LINE_FRAME,
                                     .what = f->values.flags,
                                     .epoch = f->epoch,
                                     .seq = f->seq,
                                     .bytes = p->buffer,
                                     .n_bytes = n_bytes};
    struct line_event sent = {.kind = LINE_SENT, .epoch = f->epoch, .seq = f->seq};
    int status;

    line_tell(p, &frame);
    status = p->sink.send(p->sink.ctx, p->topic, p->buffer, n_bytes);
    sent.what = status != 0;
    line_tell(p, &sent);
    return status;
}
