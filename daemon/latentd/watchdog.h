/* Life told to the service manager's watchdog, as long as every data loop turns. */
#ifndef LATENTD_WATCHDOG_H
#define LATENTD_WATCHDOG_H

#include "base/notes.h"
#include "latentd/data_loop.h"

#define WATCHDOG_LEAST_NS \
    (3 * DATA_LOOP_TICK_NS) /* a manager's period that leaves room for a tick */

struct watchdog {
    struct data_loop *loops; /* [*n_loops] NULL: nobody watches */
    const size_t *n_loops;   /* loops may come */
    uint64_t *n_told;        /* [n_most] turns when it was last told */
};

/* loops, at most n_most, stay the caller's, and their number. A period below WATCHDOG_LEAST_NS
 * becomes a note. 0, or -1: out of memory; watchdog_close is due in both cases. */
int watchdog_open(struct watchdog *w, struct data_loop *loops, const size_t *n_loops, size_t n_most,
                  struct notes *notes);
/* Once in DATA_LOOP_TICK_NS: tell it, if each loop has turned since it was last told. */
void watchdog_feed(struct watchdog *w);
void watchdog_close(struct watchdog *w);

#endif
