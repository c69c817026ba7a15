/* Log-linear histogram: exact below 64 ns, then 32 buckets to each doubling. */
#include "line/histogram.h"

#define SUB_BITS 5
#define SUB_BUCKETS (1u << SUB_BITS)

/* Values of bucket i: (i - 32 s) << s and 2^s - 1 above, where s counts the doublings
 * past 64. */
static unsigned bucket_shift(unsigned index)
{
    return index < 2 * SUB_BUCKETS ? 0 : index / SUB_BUCKETS - 1;
}

static uint64_t bucket_low(unsigned index)
{
    unsigned shift = bucket_shift(index);
    return (uint64_t)(index - shift * SUB_BUCKETS) << shift;
}

static uint64_t bucket_high(unsigned index)
{
    return bucket_low(index) + (1ull << bucket_shift(index)) - 1;
}

static unsigned bucket_of(uint64_t ns)
{
    unsigned top_bit = 63 - (unsigned)__builtin_clzll(ns | 1);
    unsigned shift = top_bit <= SUB_BITS ? 0 : top_bit - SUB_BITS;
    return shift * SUB_BUCKETS + (unsigned)(ns >> shift);
}

static uint64_t get(_Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    uint64_t n = get(&h->n);
    unsigned bucket;

    if (ns > HISTOGRAM_MAX_NS) ns = HISTOGRAM_MAX_NS;
    bucket = bucket_of(ns);
    set(&h->bucket[bucket], get(&h->bucket[bucket]) + 1);
    if (n == 0 || ns < get(&h->min_ns)) set(&h->min_ns, ns);
    if (n == 0 || ns > get(&h->max_ns)) set(&h->max_ns, ns);
    set(&h->n, n + 1);
}

/* The bucket that holds the rank-th value, counted from 1 at the good end. */
static unsigned bucket_at(const uint64_t *bucket, uint64_t rank,
                          enum histogram_worst worst)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_N_BUCKETS; i++) {
        unsigned index =
            worst == HISTOGRAM_WORST_LARGEST ? i : HISTOGRAM_N_BUCKETS - 1 - i;
        seen += bucket[index];
        if (seen >= rank) return index;
    }
    return worst == HISTOGRAM_WORST_LARGEST ? HISTOGRAM_N_BUCKETS - 1 : 0;
}

/* The value that per_mille of all values are equal to or better than, rounded to the
 * bad side. */
static uint64_t quantile(const uint64_t *bucket, uint64_t n, unsigned per_mille,
                         enum histogram_worst worst, uint64_t worst_ns)
{
    uint64_t rank = (n * per_mille + 999) / 1000;
    unsigned index = bucket_at(bucket, rank ? rank : 1, worst);

    if (worst == HISTOGRAM_WORST_LARGEST)
        return bucket_high(index) < worst_ns ? bucket_high(index) : worst_ns;
    return bucket_low(index) > worst_ns ? bucket_low(index) : worst_ns;
}

/* A copy first: the writer goes on while we count, and the ranks must fit the buckets
 * they are sought in. */
void histogram_read(struct histogram *h, enum histogram_worst worst,
                    struct histogram_summary *out)
{
    uint64_t bucket[HISTOGRAM_N_BUCKETS], worst_ns;

    *out = (struct histogram_summary){0};
    for (unsigned i = 0; i < HISTOGRAM_N_BUCKETS; i++) {
        bucket[i] = get(&h->bucket[i]);
        out->n += bucket[i];
    }
    if (out->n == 0) return;
    worst_ns = worst == HISTOGRAM_WORST_LARGEST ? get(&h->max_ns) : get(&h->min_ns);
    out->p50_ns = quantile(bucket, out->n, 500, worst, worst_ns);
    out->p99_ns = quantile(bucket, out->n, 990, worst, worst_ns);
    out->p999_ns = quantile(bucket, out->n, 999, worst, worst_ns);
    out->worst_ns = worst_ns;
}
