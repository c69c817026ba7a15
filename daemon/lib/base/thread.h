/* What a real-time thread asks of the system. Nothing here is fatal: what the system refuses
 * becomes a note. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

#include "base/notes.h"

#define THREAD_ANY_CPU UINT32_MAX

/* What the configuration asks for some threads. Zero priority: the ordinary scheduler. */
struct thread_wish {
    uint32_t priority;  /* of SCHED_FIFO, 1 to 99 */
    uint32_t cpu;       /* the only one to run on, or THREAD_ANY_CPU */
    size_t stack_bytes; /* 0: the small one of a data thread */
};

/* What the system refuses is taken out of the wish and noted; the rest can be had. Call in the main
 * thread, before there are others. who: for the note, "stream arm". */
void thread_wish_check(struct thread_wish *wish, const char *who, struct notes *notes);
/* Start a thread: no signals, named, as the checked wish says. 0 or an errno. */
int thread_start(pthread_t *thread, const char *name, const struct thread_wish *wish,
                 void *(*run)(void *), void *ctx);
/* First thing in that thread: touch its stack, wake exactly when asked. */
void thread_prepare(void);

#endif
