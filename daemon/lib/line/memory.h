/* Memory that the first bin must not be the one to pay for. */
#ifndef LINE_MEMORY_H
#define LINE_MEMORY_H

#include <stddef.h>

/* Zeroed, 64-byte aligned, and every page touched. NULL: out of memory. */
void *memory_new(size_t n_bytes);

#endif
