/* The handler puts a page of zeros in place of the one that is gone; the access is then made
 * again. */
#include "record/mapped.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static struct sigaction was; /* before ours */
static uintptr_t page_bytes;
static _Thread_local volatile sig_atomic_t is_guarded;

static void on_bus(int number, siginfo_t *info, void *context)
{
    void *page = (void *)((uintptr_t)info->si_addr & ~(page_bytes - 1));

    (void)context;
    if (is_guarded && info->si_code == BUS_ADRERR &&
        mmap(page, page_bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
             0) != MAP_FAILED)
        return;
    sigaction(number, &was, NULL); /* the access is made again, and ends as it would have */
}

static void install(void)
{
    struct sigaction ours = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_RESTART};

    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    sigemptyset(&ours.sa_mask);
    sigaction(SIGBUS, &ours, &was);
}

void mapped_guard_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    sigset_t bus;

    pthread_once(&once, install);
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &bus, NULL); /* blocked, it ends the program at once */
    is_guarded = 1;
}
