/* Scheduling, CPUs, limits, memory locking, heap settings, stacks, timer slack. */
#include "latentd/rt.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

#ifdef LATENTD_MIMALLOC
#include <mimalloc.h>
#endif

/* Sanitizers put far more on the stack than we do. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (8u << 20)
#else
#define STACK_BYTES (256u << 10)
#endif
#define STACK_TOUCHED (160u << 10) /* more than libuv's, libzmq's and our own frames take */

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

/* ---- limits ---- */

void rt_raise_files(struct notes *notes)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
    }
    notes_add(notes, "the limit of open files stays as it is (%s)", strerror(errno));
}

/* ---- scheduling ---- */

/* The wish is tried on this thread and taken back: who may do it here may do it for the
 * threads to come, which must not find out by an abort. */
static int try_priority(uint32_t priority)
{
    const struct sched_param fifo = {.sched_priority = (int)priority};
    const struct sched_param ordinary = {.sched_priority = 0};

    if (sched_setscheduler(0, SCHED_FIFO, &fifo)) return errno;
    return sched_setscheduler(0, SCHED_OTHER, &ordinary) ? errno : 0;
}

static cpu_set_t only(uint32_t cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return set;
}

static int try_cpu(uint32_t cpu)
{
    cpu_set_t before, wanted = only(cpu);

    if (sched_getaffinity(0, sizeof before, &before)) return errno;
    if (sched_setaffinity(0, sizeof wanted, &wanted)) return errno;
    return sched_setaffinity(0, sizeof before, &before) ? errno : 0;
}

void rt_wish_check(struct rt_wish *wish, const char *who, struct notes *notes)
{
    int error = wish->priority ? try_priority(wish->priority) : 0;

    if (error) {
        notes_add(notes,
                  "%s: real-time priority %u is refused (%s): ordinary scheduling; "
                  "raise the rtprio limit (ulimit -r, or LimitRTPRIO= of the unit), or "
                  "set realtime-priority = none",
                  who, wish->priority, strerror(error));
        wish->priority = 0;
    }
    error = wish->cpu == RT_ANY_CPU ? 0 : try_cpu(wish->cpu);
    if (error) {
        notes_add(notes, "%s: CPU %u is refused (%s): on any CPU; nproc says how many there are",
                  who, wish->cpu, strerror(error));
        wish->cpu = RT_ANY_CPU;
    }
}

static void set_context(void *context, int option, uint32_t value)
{
    int rc = zmq_ctx_set(context, option, (int)value);

    assert(rc == 0);
    (void)rc;
}

void rt_wish_context(const struct rt_wish *wish, void *context)
{
    if (wish->priority) {
        set_context(context, ZMQ_THREAD_SCHED_POLICY, SCHED_FIFO);
        set_context(context, ZMQ_THREAD_PRIORITY, wish->priority);
    }
    if (wish->cpu != RT_ANY_CPU) set_context(context, ZMQ_THREAD_AFFINITY_CPU_ADD, wish->cpu);
}

static void set_attributes(pthread_attr_t *attributes, const struct rt_wish *wish)
{
    const struct sched_param fifo = {.sched_priority = (int)wish->priority};

    pthread_attr_setstacksize(attributes, STACK_BYTES);
    if (wish->priority) {
        pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
        pthread_attr_setschedpolicy(attributes, SCHED_FIFO);
        pthread_attr_setschedparam(attributes, &fifo);
    }
    if (wish->cpu != RT_ANY_CPU) {
        cpu_set_t set = only(wish->cpu);

        pthread_attr_setaffinity_np(attributes, sizeof set, &set);
    }
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
int rt_thread_start(pthread_t *thread, const char *name, const struct rt_wish *wish,
                    void *(*run)(void *), void *ctx)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int status = pthread_attr_init(&attributes);

    if (status) return status;
    set_attributes(&attributes, wish);
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
