/* SIGINT and SIGTERM set a flag and interrupt waiting system calls. */
#include "command/stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

/* Threads read it too; a handler may write it because it is lock-free. */
static atomic_int stop_flag;
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "a lock in a signal handler");

static void on_signal(int number)
{
    (void)number;
    stop_flag = 1;
}

void stop_install(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int stop_requested(void)
{
    return stop_flag;
}
