/* Why bins were late: a thread beside the data loops looks at their turns, at the late bins of
 * their lines and at what the kernel says of their threads, and keeps what it finds.
 *
 * The data threads do nothing for it but to write down their turns. */
#ifndef LATENTD_LATENESS_H
#define LATENTD_LATENESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/notes.h"
#include "latent.h"
#include "why/explain.h"

#define LATENESS_KEPT 128 /* bins of each stream */

struct daemon;
struct lateness;

/* What is kept of a stream. */
struct lateness_seen {
    uint64_t n_late; /* bins that were late since the start */
    uint64_t n_told; /* of them: explained, or passed over; when all are, the two are equal */
    uint64_t n_lost; /* of them: passed over, there were too many at once */
    size_t n;        /* the newest that were explained, oldest first */
    struct why_bin bins[LATENESS_KEPT];
};

/* After the data loops have started, until before they are closed. 0, or negative and a text; what
 * the system does not tell becomes a note. */
int lateness_open(struct lateness **out, struct daemon *d, struct latent_error *err);
/* A last look, then the thread ends. NULL is allowed. One that is opened after it goes on from
 * there; what was kept is gone. */
void lateness_close(struct lateness *l);
/* Stream number i of the daemon. Any thread. */
void lateness_read(struct lateness *l, size_t i, struct lateness_seen *out);
/* What was explained since the last time goes into the records that are at work. The control
 * thread's. */
void lateness_record(struct lateness *l);
/* Is everything explained that was late when the stream had n_late of them? Any thread. */
bool lateness_has_told(struct lateness *l, size_t i, uint64_t n_late);

#endif
