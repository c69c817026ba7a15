/* Late bins, explained, on their way into a record: from any thread to the recorder's. */
#ifndef RECORD_TOLD_H
#define RECORD_TOLD_H

#include <pthread.h>
#include <stdbool.h>

#include "record/store.h"

struct told_row;

struct told {
    pthread_mutex_t mutex;
    struct told_row *waiting, **last; /* under it, in their order */
    struct told_row *taken;           /* the recorder's */
};

void told_open(struct told *t);
void told_close(struct told *t);
/* false: out of memory. */
bool told_add(struct told *t, const struct why_bin *b);
/* What waits, as a transaction of its own. BUSY keeps it for the next time; what else keeps it from
 * being written meets the next entries, too, and is dealt with there. */
void told_write(struct told *t, struct store *store);

#endif
