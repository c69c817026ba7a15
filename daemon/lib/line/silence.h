/* While no bin comes: when a frame is due all the same, and which. */
#ifndef LINE_SILENCE_H
#define LINE_SILENCE_H

#include "line/inside.h"

/* A bin of the stream came, though it may have come too late. */
void silence_on_heard(struct line *line, uint64_t t_recv_ns);
/* And was decoded. */
void silence_on_decoded(struct line *line, uint64_t t_recv_ns);
/* SAFE was asked for: a frame is due now. */
void silence_break(struct line *line, uint64_t now_ns);
/* When silence_on_tick has something to do; LINE_NEVER: not before the next entry. */
uint64_t silence_next_ns(const struct line *line, bool input_waits);
/* At most one frame, at most one a bin period: what was missed is not made up for. While input
 * waits nothing is missing, but the lease ends, and SAFE goes on. */
void silence_on_tick(struct line *line, uint64_t now_ns, bool input_waits);

#endif
