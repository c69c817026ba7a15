/* Read bandwidth of one core: what bounds a step that reads every weight once per bin.
 * Prints "BYTES NANOSECONDS" (median of many passes) for buffers of growing size. */
#include <stdio.h>
#include <stdlib.h>

#include "worker.h"

typedef uint64_t lane __attribute__((vector_size(32)));

#define N_SUMS 8
#define N_PASSES 41

/* Eight independent sums, so that no addition waits for the one before. */
__attribute__((target_clones("avx2", "default"))) static uint64_t
read_all(const lane *data, size_t n_lanes)
{
    lane sums[N_SUMS] = {{0}};
    for (size_t i = 0; i + N_SUMS <= n_lanes; i += N_SUMS)
        for (size_t j = 0; j < N_SUMS; j++) sums[j] += data[i + j];
    uint64_t total = 0;
    for (size_t j = 0; j < N_SUMS; j++) total += sums[j][0] + sums[j][3];
    return total;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t median_pass_ns(const lane *data, size_t n_bytes)
{
    uint64_t took_ns[N_PASSES];
    static volatile uint64_t sink;
    size_t n_rounds = 1;
    while (n_rounds * n_bytes < 4u << 20) n_rounds *= 2;
    for (size_t pass = 0; pass < N_PASSES; pass++) {
        uint64_t start_ns = worker_now_ns();
        for (size_t i = 0; i < n_rounds; i++)
            sink += read_all(data, n_bytes / sizeof(lane));
        took_ns[pass] = (worker_now_ns() - start_ns) / n_rounds;
    }
    qsort(took_ns, N_PASSES, sizeof *took_ns, compare);
    return took_ns[N_PASSES / 2];
}

int main(void)
{
    static const double sizes_mb[] = {0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32};
    const lane *data = worker_alloc(32u << 20);
    for (size_t i = 0; i < sizeof sizes_mb / sizeof *sizes_mb; i++) {
        size_t n_bytes = (size_t)(sizes_mb[i] * (1 << 20));
        printf("%zu %llu\n", n_bytes,
               (unsigned long long)median_pass_ns(data, n_bytes));
    }
    return 0;
}
