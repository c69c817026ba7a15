/* What the kernel says of a thread's time, from proc: any thread may ask about any. */
#ifndef WHY_SCHED_H
#define WHY_SCHED_H

#include <stdbool.h>
#include <stdint.h>

struct sched_times {
    uint64_t ran_ns, delay_ns; /* since its start: on a processor; ready, and others ran */
    uint64_t n_runs;           /* times that it got a processor */
};

/* A descriptor for sched_read; -1: the kernel does not tell (no schedstats). The caller closes it.
 * thread: of this process, as gettid says it. */
int sched_open(int thread);
bool sched_read(int fd, struct sched_times *out);
/* Time that other machines of the host took from this one, of all its processors since its start;
 * false: not told. In steps of 10 ms, as a rule. */
bool sched_read_steal(uint64_t *ns);

#endif
