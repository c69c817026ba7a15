/* The decoder's part: a step for a bin that came, frames for those that did not. Each
 * frame is published and counted here. */
#ifndef LINE_DECODE_H
#define LINE_DECODE_H

#include "line/inside.h"

/* The next bin is the first of a new decoder. */
void decode_reset(struct line *line);
/* A frame for a bin that is missing before one that arrived at t_arrived_ns. */
void decode_fill(struct line *line, uint64_t epoch, uint64_t seq, uint64_t t_arrived_ns);
/* Step over line->counts. extra_flags: beside the decoder's own. false: the core refused it. */
bool decode_bin(struct line *line, struct bin_frame *b, uint32_t extra_flags);
/* A predicted frame for the next bin, which has not come in time; false: no more may be
 * predicted. */
bool decode_ahead(struct line *line);

#endif
