/* A byte ring between two threads: records of any length, whole or not at all.
 *
 * One thread puts, one other takes; the two may not change places. Neither ever waits
 * or takes a lock, and after ring_new nothing allocates or faults: all memory is taken
 * and touched there. Records are put in groups: the taker sees a group when it is
 * complete and never a part of one, and a group for which there is no room leaves no
 * trace. */
#ifndef FEED_RING_H
#define FEED_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

struct ring_record {
    uint32_t kind;
    size_t n_bytes;
    const void *bytes; /* in the ring, 8-byte aligned; until ring_release */
};

/* At least n_bytes, rounded up to a power of two. NULL: out of memory. */
struct ring *ring_new(size_t n_bytes);
void ring_free(struct ring *r); /* NULL is allowed */
size_t ring_size(const struct ring *r);

/* The putting thread. Space for one record of the open group, contiguous and 8-byte
 * aligned; NULL when there is no room, or for more than half of the ring. */
void *ring_put(struct ring *r, uint32_t kind, size_t n_bytes);
/* The open group becomes visible, or is forgotten. */
void ring_commit(struct ring *r);
void ring_abort(struct ring *r);
/* Bytes in use, the open group included. */
size_t ring_used(const struct ring *r);

/* The taking thread. Look once for what has been put since; then take the records one
 * by one, until false: that is where a group ends. */
void ring_look(struct ring *r);
bool ring_waits(const struct ring *r); /* did the look find something that is not taken? */
bool ring_take(struct ring *r, struct ring_record *out);
/* The same, but it stays the next. */
bool ring_peek(struct ring *r, struct ring_record *out);
/* What was taken so far may be written over. */
void ring_release(struct ring *r);
/* What was taken since the last release comes again. */
void ring_rewind(struct ring *r);

/* Any thread: bytes of complete groups that are not released, about. */
size_t ring_level(const struct ring *r);

#endif
