/* Memory locking, heap settings, thread stacks, timer slack. */
#include "latentd/rt.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef LATENTD_MIMALLOC
#include <mimalloc.h>
#endif

/* Sanitizers put far more on the stack than we do. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (8u << 20)
#else
#define STACK_BYTES (256u << 10)
#endif
#define STACK_TOUCHED                                                                  \
    (160u << 10) /* more than libuv's, libzmq's and our own frames take */

/* libzmq allocates and frees for each message, on both sides of its own threads.
 * mimalloc does so without a lock (with glibc's heap the data thread waits for libzmq's
 * in some bins of a thousand); all that is left to ask is that it keeps what it has.
 * The sanitizers bring a heap of their own. */
void rt_keep_heap(void)
{
#ifdef LATENTD_MIMALLOC
    mi_option_disable(mi_option_allow_decommit);
#endif
}

/* ---- locking ---- */

static bool may_lock_any_amount(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
        return true;
    if (syscall(SYS_capget, &header, data)) return false;
    return (data[0].effective & 1u << CAP_IPC_LOCK) != 0;
}

/* With a finite limit only what is there now: if later memory had to be locked too, an
 * allocation inside of libzmq could fail at run time, and libzmq then aborts. On fault,
 * since BLAS maps far more than it uses. */
void rt_lock_memory(struct notes *notes)
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

/* ---- threads ---- */

/* Signals are for the main thread: a handler must never run in the middle of a bin. */
int rt_thread_start(pthread_t *thread, const char *name, void *(*run)(void *),
                    void *ctx)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int status = pthread_attr_init(&attributes);

    if (status) return status;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    status = pthread_create(thread, &attributes, run, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (status == 0) pthread_setname_np(*thread, name);
    return status;
}

/* The compiler must believe that the bytes are needed. */
__attribute__((noinline)) static void touch_stack(void)
{
    volatile unsigned char bytes[STACK_TOUCHED];

    for (size_t i = 0; i < sizeof bytes; i += 1024) bytes[i] = 1;
}

void rt_thread_prepare(void)
{
    touch_stack();
    prctl(PR_SET_TIMERSLACK, 1UL);
}
