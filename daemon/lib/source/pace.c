/* Absolute waiting on CLOCK_MONOTONIC. */
#include "source/pace.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "command/stop.h"

int pace_wait_until(uint64_t due_ns)
{
    const struct timespec due = clock_timespec(due_ns);
    int interrupted;
    do {
        if (stop_requested()) return -1;
        interrupted = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    } while (interrupted == EINTR);
    return stop_requested() ? -1 : 0;
}
