/* One decoder for another, between two bins. */
#ifndef LINE_PROMOTE_H
#define LINE_PROMOTE_H

#include "line/inside.h"

/* The line's fields that follow the decoder; of the state nothing changes. */
void promote_seat(struct line *line, struct line_decoder *d);
/* The entry as taps are told it: with the label and a snapshot of the next decoder, which has taken
 * over the mask. */
void promote_describe(struct line *line, struct line_event *entry);
void promote_enter(struct line *line, struct line_decoder *next);

#endif
