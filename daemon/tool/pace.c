/* Absolute waiting on CLOCK_MONOTONIC. */
#include "tool/pace.h"

#include <errno.h>
#include <time.h>

#include "tool/stop.h"

#define NS_PER_S 1000000000u

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t pace_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t pace_epoch_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int pace_wait_until(uint64_t due_ns)
{
    struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_S),
                           .tv_nsec = (long)(due_ns % NS_PER_S)};
    int interrupted;
    do {
        if (stop_requested()) return -1;
        interrupted = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    } while (interrupted == EINTR);
    return stop_requested() ? -1 : 0;
}
