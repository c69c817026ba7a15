/* Counts what this thread takes from or gives back to the heap, in our code and in
 * every library. */
#ifndef ALLOCATION_COUNT_H
#define ALLOCATION_COUNT_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOCATION_COUNT_SANITIZED 1
#else
#define ALLOCATION_COUNT_SANITIZED 0
#endif

void allocation_count_start(void);
/* Calls of malloc, calloc, realloc, aligned_alloc, posix_memalign and free since the
 * start; free(NULL) is none. */
size_t allocation_count_stop(void);

#endif
