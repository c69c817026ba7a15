/* Log-linear histogram: exact below 64 ns, then 32 buckets to each doubling. */
#include "line/histogram.h"

#define SUB_BITS 5
#define SUB_BUCKETS (1u << SUB_BITS)

/* Bucket i holds (i - 32 s) 2^s and the 2^s - 1 values above, where s counts the
 * doublings past 64. */
static unsigned bucket_shift(unsigned index)
{
    return index < 2 * SUB_BUCKETS ? 0 : index / SUB_BUCKETS - 1;
}

static uint64_t bucket_high(unsigned index)
{
    unsigned shift = bucket_shift(index);
    return ((uint64_t)(index - shift * SUB_BUCKETS + 1) << shift) - 1;
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
    unsigned bucket;

    if (ns > HISTOGRAM_MAX_NS) ns = HISTOGRAM_MAX_NS;
    bucket = bucket_of(ns);
    set(&h->bucket[bucket], get(&h->bucket[bucket]) + 1);
    if (ns > get(&h->max_ns)) set(&h->max_ns, ns);
}

void histogram_clear(struct histogram *h)
{
    for (unsigned i = 0; i < HISTOGRAM_N_BUCKETS; i++) set(&h->bucket[i], 0);
    set(&h->max_ns, 0);
}

/* The value that per_mille of all n values are at most, rounded up. */
static uint64_t quantile(const uint64_t *bucket, uint64_t n, unsigned per_mille, uint64_t max_ns)
{
    uint64_t rank = (n * per_mille + 999) / 1000, seen = bucket[0];
    unsigned index = 0;

    while (seen < rank) seen += bucket[++index];
    return bucket_high(index) < max_ns ? bucket_high(index) : max_ns;
}

/* max_ns: no value is above it. */
static void summarize(const uint64_t *bucket, uint64_t max_ns, struct histogram_summary *out)
{
    unsigned last = 0;

    *out = (struct histogram_summary){0};
    for (unsigned i = 0; i < HISTOGRAM_N_BUCKETS; i++) {
        out->n += bucket[i];
        if (bucket[i] > 0) last = i;
    }
    if (out->n == 0) return;
    out->max_ns = bucket_high(last) < max_ns ? bucket_high(last) : max_ns;
    out->p50_ns = quantile(bucket, out->n, 500, out->max_ns);
    out->p99_ns = quantile(bucket, out->n, 990, out->max_ns);
    out->p999_ns = quantile(bucket, out->n, 999, out->max_ns);
}

/* A copy first: the writer goes on while we count, and the ranks must fit the buckets
 * they are sought in. */
void histogram_read(struct histogram *h, struct histogram_summary *out)
{
    uint64_t bucket[HISTOGRAM_N_BUCKETS];

    for (unsigned i = 0; i < HISTOGRAM_N_BUCKETS; i++) bucket[i] = get(&h->bucket[i]);
    summarize(bucket, get(&h->max_ns), out);
}

void histogram_copy(struct histogram *h, struct histogram_copy *out)
{
    for (unsigned i = 0; i < HISTOGRAM_N_BUCKETS; i++)
        out->bucket[i] = (uint32_t)get(&h->bucket[i]);
}

void histogram_read_since(struct histogram *h, const struct histogram_copy *since,
                          struct histogram_summary *out)
{
    uint64_t bucket[HISTOGRAM_N_BUCKETS];

    for (unsigned i = 0; i < HISTOGRAM_N_BUCKETS; i++)
        bucket[i] = (uint32_t)get(&h->bucket[i]) - since->bucket[i];
    summarize(bucket, get(&h->max_ns), out);
}
