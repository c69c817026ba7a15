/* Bins that come with nothing in them: no counts at all, or the same again and again. */
#ifndef LINE_STILL_H
#define LINE_STILL_H

#include "line/inside.h"

/* How long is too long, from the model and the lease. */
void still_init(struct line *line, const struct latent_info *info);
/* The bin in line->counts, before it becomes the last; true: there is no signal, for too long. When
 * that has lasted for a lease, SAFE, as on-silent says. */
bool still_on_bin(struct line *line, uint64_t now_ns);
/* A bin that the decoder could not be led over: what comes next is a first. */
void still_on_failure(struct line *line);

#endif
