/* Waiting for a point in time without drift. */
#ifndef SOURCE_PACE_H
#define SOURCE_PACE_H

#include <stdint.h>

/* 0 at due_ns or when it has passed, -1 when the program was asked to stop before. */
int pace_wait_until(uint64_t due_ns);

#endif
