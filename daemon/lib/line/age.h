/* When bins ended, on this machine's clock: by what the source claims, or by an estimate of its
 * clock. */
#ifndef LINE_AGE_H
#define LINE_AGE_H

#include "line/inside.h"

/* A bin that came gets its step at b->t_start_ns: by the pace of its source it is so old, or it is
 * known when it ended. The first one that is decoded of a message tells of all of them. */
void age_on_bin(struct line *line, struct bin_frame *b);
/* A frame that no bin is for: when that ended whose number it carries. */
void age_on_frame(const struct line *line, struct bin_frame *b);
/* Another source. */
void age_on_restart(struct line *line);

#endif
