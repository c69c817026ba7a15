/* Empties the caches of what a step uses. */
#ifndef BENCH_FLUSH_H
#define BENCH_FLUSH_H

#include <stddef.h>

/* Evict every resident page that this process may write: its heap and all that it
 * mapped, so weights, state, inputs and stack whoever owns them, but not the code.
 * Returns how many bytes that were. Where the processor cannot evict lines, 64 MB of
 * other memory are written instead, and their number is returned. */
size_t flush_caches(void);

#endif
