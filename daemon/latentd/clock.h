/* The clock of all times on the wire: CLOCK_MONOTONIC. */
#ifndef LATENTD_CLOCK_H
#define LATENTD_CLOCK_H

#include "line/pipeline.h"

uint64_t clock_now_ns(void);
/* The same for a pipeline. */
struct pipeline_clock clock_monotonic(void);

#endif
