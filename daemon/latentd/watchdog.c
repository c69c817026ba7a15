/* WATCHDOG=1 is only as true as what it stands for: not that this thread runs, but that the data
 * loops do. */
#include "latentd/watchdog.h"

#include "latentd/notify.h"

void watchdog_open(struct watchdog *w, struct notes *notes)
{
    uint64_t period_ns = notify_watchdog_ns();

    *w = (struct watchdog){.is_on = period_ns != 0};
    if (w->is_on && period_ns < WATCHDOG_LEAST_NS)
        notes_add(notes,
                  "the service manager's watchdog waits %g s only; expected at least %g "
                  "(WatchdogSec=), three ticks of a data loop",
                  (double)period_ns / 1e9, (double)WATCHDOG_LEAST_NS / 1e9);
}

void watchdog_feed(const struct watchdog *w, struct data_loop *const *loops, size_t n_loops)
{
    if (!w->is_on) return;
    for (size_t i = 0; i < n_loops; i++)
        if (data_loop_turns(loops[i]) == loops[i]->n_turns_told) return;
    for (size_t i = 0; i < n_loops; i++) loops[i]->n_turns_told = data_loop_turns(loops[i]);
    notify_alive();
}
