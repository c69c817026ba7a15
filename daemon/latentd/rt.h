/* What a real-time thread asks of the system. Nothing here is fatal: what the system
 * refuses becomes a note. */
#ifndef LATENTD_RT_H
#define LATENTD_RT_H

#include <pthread.h>
#include <stdint.h>

#include "latentd/notes.h"

#define RT_ANY_CPU UINT32_MAX

/* What the configuration asks for some threads. Zero priority: the ordinary scheduler. */
struct rt_wish {
    uint32_t priority; /* of SCHED_FIFO, 1 to 99 */
    uint32_t cpu;      /* the only one to run on, or RT_ANY_CPU */
};

/* What the system refuses is taken out of the wish and noted; the rest can be had. Call
 * in the main thread, before there are others. who: for the note, "stream arm". */
void rt_wish_check(struct rt_wish *wish, const char *who, struct notes *notes);
/* All threads that the ZeroMQ context will make. Call before its first socket, with a
 * checked wish: libzmq aborts when it is refused. */
void rt_wish_context(const struct rt_wish *wish, void *context);

/* Open files: every connection takes one. Call before the first socket. */
void rt_raise_files(struct notes *notes);
/* Keep every page that is in use, now or later, out of swap. Call when start-up has
 * taken its memory. */
void rt_lock_memory(struct notes *notes);
/* Keep the heap's memory instead of giving it back and asking for it again. Call first. */
void rt_keep_heap(void);

/* Start a data thread: small stack, no signals, named, as the checked wish says. 0 or
 * an errno. */
int rt_thread_start(pthread_t *thread, const char *name, const struct rt_wish *wish,
                    void *(*run)(void *), void *ctx);
/* First thing in that thread: touch its stack, wake exactly when asked. */
void rt_thread_prepare(void);

#endif
