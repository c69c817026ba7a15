/* The end of the line: what is sent for a bin is decided, stamped, packed and handed to
 * the sink. */
#ifndef LINE_PUBLISH_H
#define LINE_PUBLISH_H

#include "line/inside.h"

/* From now on SAFE; the readout is neutral safe_ramp later, and not later than
 * t_latest_ns. */
void publish_enter_safe(struct line *line, enum safe_reason reason, uint64_t now_ns,
                        uint64_t t_latest_ns);
/* Fills in the times and what every frame carries, and b->outcome. */
void publish_frame(struct line *line, struct bin_frame *b);

#endif
