/* Life told to the service manager's watchdog, as long as every data loop turns. */
#ifndef LATENTD_WATCHDOG_H
#define LATENTD_WATCHDOG_H

#include "base/notes.h"
#include "latentd/data_loop.h"

#define WATCHDOG_LEAST_NS \
    (3 * DATA_LOOP_TICK_NS) /* a manager's period that leaves room for a tick */

struct watchdog {
    bool is_on; /* the service manager has one */
};

/* A period below WATCHDOG_LEAST_NS becomes a note. */
void watchdog_open(struct watchdog *w, struct notes *notes);
/* Once in DATA_LOOP_TICK_NS: tell it, if each of the loops that there are now has turned since it
 * was last told. */
void watchdog_feed(const struct watchdog *w, struct data_loop *const *loops, size_t n_loops);

#endif
