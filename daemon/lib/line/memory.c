/* A line longer than asked for, so that none is ever of no bytes. */
#include "line/memory.h"

#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 64 /* of the cache */

void *memory_new(size_t n_bytes)
{
    size_t n = (n_bytes + LINE_BYTES) / LINE_BYTES * LINE_BYTES;
    void *memory = aligned_alloc(LINE_BYTES, n);

    if (memory) memset(memory, 0, n);
    return memory;
}
