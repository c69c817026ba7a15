/* Durations in fixed memory: log-linear buckets, 32 to the octave, so a percentile is
 * at most 1/32 off. One thread adds; any thread reads. */
#ifndef LINE_HISTOGRAM_H
#define LINE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_N_BUCKETS 1152
#define HISTOGRAM_MAX_NS ((1ull << 40) - 1) /* 18 minutes; longer ones count as this */

struct histogram {
    _Atomic uint64_t max_ns; /* exact */
    _Atomic uint64_t bucket[HISTOGRAM_N_BUCKETS];
};

/* p99_ns: 99 % of the values are at most this. Never less than the truth. */
struct histogram_summary {
    uint64_t n, p50_ns, p99_ns, p999_ns, max_ns;
};

/* The counts of an instant, modulo 2^32: enough for differences. */
struct histogram_copy {
    uint32_t bucket[HISTOGRAM_N_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);
/* By the thread that adds; whoever reads meanwhile may find some of it. */
void histogram_clear(struct histogram *h);
void histogram_read(struct histogram *h, struct histogram_summary *out);
void histogram_copy(struct histogram *h, struct histogram_copy *out);
/* Of what was added since the copy; max_ns is at most 1/32 above the largest. */
void histogram_read_since(struct histogram *h, const struct histogram_copy *since,
                          struct histogram_summary *out);

#endif
