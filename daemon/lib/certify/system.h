/* What can be read of a machine and its kernel: things that are known to make threads late. */
#ifndef CERTIFY_SYSTEM_H
#define CERTIFY_SYSTEM_H

#include "certify/findings.h"

/* Which machine it is, in words. */
struct fingerprint {
    char cpu[128], kernel[160], memory[64], n_cpus[16];
};

/* Whose machine is looked at. */
struct system {
    const char *root;  /* of /proc and /sys; "" is this machine */
    int cpu;           /* that the data loop is bound to; -1: any */
    unsigned priority; /* of SCHED_FIFO that the configuration asks for; 0: none */
};

/* Counters that grow while somebody else uses the machine; negative: cannot be read. */
struct counters {
    long long steal_ticks, throttled, irqs, softirqs, buffer_errors;
};

void system_fingerprint(const struct system *s, struct fingerprint *out);
void system_machine(const struct system *s, struct findings *f);
void system_kernel(const struct system *s, struct findings *f);
void system_network(const struct system *s, struct findings *f);
void system_counters(const struct system *s, struct counters *out);
/* What happened between two readings, each in its group. */
void system_compare(const struct system *s, const struct counters *before,
                    const struct counters *after, double seconds, struct findings *f);

#endif
