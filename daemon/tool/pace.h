/* The monotonic clock, and waiting for a point in time without drift. */
#ifndef TOOL_PACE_H
#define TOOL_PACE_H

#include <stdint.h>

uint64_t pace_now_ns(void);
uint64_t pace_epoch_ns(void); /* wall-clock time: differs at every start */
/* 0 at due_ns or when it has passed, -1 when the program was asked to stop before. */
int pace_wait_until(uint64_t due_ns);

#endif
