/* The end of the line: a frame is stamped, packed and handed to the sink. */
#ifndef LINE_PUBLISH_H
#define LINE_PUBLISH_H

#include "line/line.h"

/* Readout neutral, latents and rates absent. */
void publish_make_safe(const struct pipeline *p, struct latent_frame *values);
/* Fills in the times and what every frame carries, and b->sent. */
void publish_frame(struct pipeline *p, struct passage *b);

#endif
