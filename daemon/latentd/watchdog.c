/* WATCHDOG=1 is only as true as what it stands for: not that this thread runs, but that the data
 * loops do. */
#include "latentd/watchdog.h"

#include <stdlib.h>

#include "latentd/notify.h"

int watchdog_open(struct watchdog *w, struct data_loop *loops, const size_t *n_loops, size_t n_most,
                  struct notes *notes)
{
    uint64_t period_ns = notify_watchdog_ns();

    *w = (struct watchdog){0};
    if (period_ns == 0) return 0;
    if (period_ns < WATCHDOG_LEAST_NS)
        notes_add(notes,
                  "the service manager's watchdog waits %g s only; expected at least %g "
                  "(WatchdogSec=), three ticks of a data loop",
                  (double)period_ns / 1e9, (double)WATCHDOG_LEAST_NS / 1e9);
    w->n_told = calloc(n_most, sizeof *w->n_told);
    if (!w->n_told) return -1;
    w->loops = loops;
    w->n_loops = n_loops;
    return 0;
}

void watchdog_feed(struct watchdog *w)
{
    if (!w->loops) return;
    for (size_t i = 0; i < *w->n_loops; i++)
        if (data_loop_turns(&w->loops[i]) == w->n_told[i]) return;
    for (size_t i = 0; i < *w->n_loops; i++) w->n_told[i] = data_loop_turns(&w->loops[i]);
    notify_alive();
}

void watchdog_close(struct watchdog *w)
{
    free(w->n_told);
    *w = (struct watchdog){0};
}
