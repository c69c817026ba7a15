/* Read through the vDSO: no system call. */
#include "latentd/clock.h"

#include <time.h>

uint64_t clock_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_now_ns();
}

struct pipeline_clock clock_monotonic(void)
{
    return (struct pipeline_clock){.now_ns = read_clock};
}
