/* The clocks: CLOCK_MONOTONIC for every time on the wire, the wall clock for names and epochs. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC, through the vDSO: no system call. */
uint64_t clock_now_ns(void);
/* Since 1970. */
uint64_t clock_wall_ns(void);
struct timespec clock_timespec(uint64_t ns);

#endif
