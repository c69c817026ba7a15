/* What a real-time thread asks of the system. Nothing here is fatal: what the system
 * refuses becomes a note. */
#ifndef LATENTD_RT_H
#define LATENTD_RT_H

#include <pthread.h>

#include "latentd/notes.h"

/* Keep every page that is in use, now or later, out of swap. Call when start-up has
 * taken its memory. */
void rt_lock_memory(struct notes *notes);
/* Keep the heap's memory instead of giving it back and asking for it again. Call first.
 */
void rt_keep_heap(void);

/* Start a data thread: small stack, no signals, named. 0 or an errno. */
int rt_thread_start(pthread_t *thread, const char *name, void *(*run)(void *),
                    void *ctx);
/* First thing in that thread: touch its stack, wake exactly when asked. */
void rt_thread_prepare(void);

#endif
