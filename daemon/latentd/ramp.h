/* What --check says of the way to neutral. */
#ifndef LATENTD_RAMP_H
#define LATENTD_RAMP_H

#include <stdio.h>

#include "latentd/stream.h"

/* One line for each readout that SAFE's ramp may move faster than its slew; for those that hold,
 * none. */
void ramp_warn(const struct stream *s, FILE *out);

#endif
