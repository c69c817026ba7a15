/* The beginning of the line: what arrives is judged, and its bins go to the decoder. */
#ifndef LINE_ARRIVE_H
#define LINE_ARRIVE_H

#include "line/inside.h"

/* The payload of a message, found by a wake at t_recv_ns: checked, and opened. */
void arrive_message(struct line *line, const void *payload, size_t n_bytes, uint64_t t_recv_ns);
bool arrive_is_open(const struct line *line);
/* One decoder step of the open message: the next bin, or one that is missing before it. Bins that
 * are not decoded are passed over. */
void arrive_step(struct line *line);
/* Give the open message up. */
void arrive_drop(struct line *line);
/* The next bin of the open message is for the decoder, and begins a trial. */
bool arrive_begins_trial(const struct line *line);

#endif
