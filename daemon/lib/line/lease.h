/* The lease: how long a decoded bin keeps a stream out of SAFE. */
#ifndef LINE_LEASE_H
#define LINE_LEASE_H

#include "line/inside.h"

/* LINE_NEVER: there is none, or no bin was heard. */
uint64_t lease_end_ns(const struct line *line);
/* When SAFE must begin for the readout to be neutral at the lease's end; with input that may bring
 * the next bin, that end itself. LINE_NEVER also in SAFE. */
uint64_t lease_start_ns(const struct line *line, bool input_waits);
/* The loop has got to a bin: if the lease was over before it did, SAFE comes first. */
void lease_on_step(struct line *line, uint64_t now_ns);

#endif
