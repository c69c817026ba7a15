/* What the whole process asks of the system. What is refused becomes a note. */
#ifndef LATENTD_PROCESS_H
#define LATENTD_PROCESS_H

#include <stddef.h>

#include "base/notes.h"

/* Keep the heap's memory instead of giving it back and asking for it again. Call first. */
void process_keep_heap(void);
/* Open files: every connection takes one. Call before the first socket. */
void process_raise_files(struct notes *notes);
/* Let libuv's pool have a thread more than n, which disks that hang may hold for ever. Call before
 * the first thread. */
void process_widen_pool(size_t n);
/* Keep every page that is in use, now or later, out of swap. Call when start-up has taken its
 * memory. */
void process_lock_memory(struct notes *notes);

#endif
