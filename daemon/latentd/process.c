/* Limits, memory locking, heap settings. */
#include "latentd/process.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef LATENTD_MIMALLOC
#include <mimalloc.h>
#endif

/* libzmq allocates and frees for each message, on both sides of its own threads.
 * mimalloc does so without a lock (with glibc's heap the data thread waits for libzmq's
 * in some bins of a thousand); all that is left to ask is that it keeps what it has.
 * The sanitizers bring a heap of their own. */
void process_keep_heap(void)
{
#ifdef LATENTD_MIMALLOC
    mi_option_disable(mi_option_allow_decommit);
#endif
}

/* ---- limits ---- */

void process_raise_files(struct notes *notes)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
    }
    notes_add(notes, "the limit of open files stays as it is (%s)", strerror(errno));
}

/* ---- the pool ---- */

#define POOL_LEAST 4 /* libuv's own default */

void process_widen_pool(size_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%zu", n + 1 < POOL_LEAST ? POOL_LEAST : n + 1);
    setenv("UV_THREADPOOL_SIZE", text, 1);
}

/* ---- locking ---- */

static bool may_lock_any_amount(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) return true;
    if (syscall(SYS_capget, &header, data)) return false;
    return (data[0].effective & 1u << CAP_IPC_LOCK) != 0;
}

/* With a finite limit only what is there now: if later memory had to be locked too, an
 * allocation inside of libzmq could fail at run time, and libzmq then aborts. On fault,
 * since BLAS maps far more than it uses. */
void process_lock_memory(struct notes *notes)
{
    bool any_amount = may_lock_any_amount();

    if (mlockall(MCL_CURRENT | MCL_ONFAULT | (any_amount ? MCL_FUTURE : 0)))
        notes_add(notes,
                  "memory is not locked (%s); raise the memlock limit (ulimit -l, or "
                  "LimitMEMLOCK= of the unit), or set lock-memory = no",
                  strerror(errno));
    else if (!any_amount)
        notes_add(notes, "only the memory of start-up is locked: the memlock limit is "
                         "finite (ulimit -l unlimited locks all)");
}
