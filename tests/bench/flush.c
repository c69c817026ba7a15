/* Cold caches: line by line where the processor has an instruction for it, else by
 * writing other memory. */
#include "flush.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "worker.h"

#define LINE_BYTES 64
#define PAGE_BYTES 4096
#define BATCH_PAGES 1024
#define OTHER_BYTES (64u << 20) /* twice the largest cache that we have met */

/* Writing keeps the compiler from leaving it out, and reading the pages from being all
 * one page of zeros. */
static size_t write_other(void)
{
    static unsigned char *other;
    if (!other) other = worker_alloc(OTHER_BYTES);
    for (size_t i = 0; i < OTHER_BYTES; i += LINE_BYTES) other[i]++;
    return OTHER_BYTES;
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

static int can_evict(void)
{
    unsigned a, b = 0, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_CLFLUSHOPT);
}

__attribute__((target("clflushopt"))) static void evict_page(char *page)
{
    for (size_t i = 0; i < PAGE_BYTES; i += LINE_BYTES) _mm_clflushopt(page + i);
}

/* Pages that were never touched hold nothing, and evicting would bring them in. */
static size_t evict_range(char *begin, const char *end)
{
    unsigned char resident[BATCH_PAGES];
    size_t n_bytes = 0;
    while (begin < end) {
        size_t n = (size_t)(end - begin) / PAGE_BYTES;
        if (n > BATCH_PAGES) n = BATCH_PAGES;
        if (mincore(begin, n * PAGE_BYTES, resident)) return n_bytes;
        for (size_t i = 0; i < n; i++)
            if (resident[i] & 1) {
                evict_page(begin + i * PAGE_BYTES);
                n_bytes += PAGE_BYTES;
            }
        begin += n * PAGE_BYTES;
    }
    return n_bytes;
}

/* Lines of maps begin with "FIRST-END rwxp". */
static size_t evict_all(void)
{
    char line[512], *rest;
    size_t n_bytes = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps) worker_absent("/proc/self/maps: cannot be opened");
    while (fgets(line, sizeof line, maps)) {
        uintptr_t begin = strtoull(line, &rest, 16), end = strtoull(rest + 1, &rest, 16);
        if (!strncmp(rest, " rw", 3)) n_bytes += evict_range((char *)begin, (const char *)end);
    }
    fclose(maps);
    _mm_mfence();
    return n_bytes;
}

size_t flush_caches(void)
{
    return can_evict() ? evict_all() : write_other();
}

#else

size_t flush_caches(void)
{
    return write_other();
}

#endif
