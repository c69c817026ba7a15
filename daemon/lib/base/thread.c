/* Scheduling, CPUs, stacks, timer slack. */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

/* Sanitizers put far more on the stack than we do. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (8u << 20)
#else
#define STACK_BYTES (256u << 10)
#endif
#define STACK_TOUCHED (160u << 10) /* more than libuv's, libzmq's and our own frames take */

/* ---- scheduling ---- */

/* The wish is tried on this thread and taken back: who may do it here may do it for the threads to
 * come, which must not find out by an abort. */
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

void thread_wish_check(struct thread_wish *wish, const char *who, struct notes *notes)
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
    error = wish->cpu == THREAD_ANY_CPU ? 0 : try_cpu(wish->cpu);
    if (error) {
        notes_add(notes, "%s: CPU %u is refused (%s): on any CPU; nproc says how many there are",
                  who, wish->cpu, strerror(error));
        wish->cpu = THREAD_ANY_CPU;
    }
}

static void set_attributes(pthread_attr_t *attributes, const struct thread_wish *wish)
{
    const struct sched_param fifo = {.sched_priority = (int)wish->priority};
    size_t stack_bytes = wish->stack_bytes > STACK_BYTES ? wish->stack_bytes : STACK_BYTES;

    pthread_attr_setstacksize(attributes, stack_bytes);
    if (wish->priority) {
        pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
        pthread_attr_setschedpolicy(attributes, SCHED_FIFO);
        pthread_attr_setschedparam(attributes, &fifo);
    }
    if (wish->cpu != THREAD_ANY_CPU) {
        cpu_set_t set = only(wish->cpu);

        pthread_attr_setaffinity_np(attributes, sizeof set, &set);
    }
}

/* ---- threads ---- */

/* Signals are for the main thread: a handler must never run in the middle of a bin. */
int thread_start(pthread_t *thread, const char *name, const struct thread_wish *wish,
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

void thread_prepare(void)
{
    touch_stack();
    prctl(PR_SET_TIMERSLACK, 1UL);
}
