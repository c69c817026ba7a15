/* Events out of a data thread: what a line tells one of its taps goes into the ring of whoever
 * listens (a recorder, say), or is counted as lost. Nothing here waits, allocates or calls the
 * system. */
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "feed/ring.h"
#include "feed/trace.h"
#include "line/line.h"

/* Written by the data thread, read by any. */
struct feed_counts {
    _Atomic uint64_t n_thinned;   /* frames that went without their bytes */
    _Atomic uint64_t n_lost;      /* entries, and with them all that they caused */
    _Atomic uint64_t lost_frames; /* of those entries */
    _Atomic uint64_t n_gaps;      /* runs of lost entries */
    _Atomic bool is_thinning;     /* now: the ring is filling up, or has been full */
};

struct feed {
    struct ring *ring;
    const struct line *line;
    bool is_anchored; /* the ring has a snapshot, and all entries since */
    bool group_is_lost, is_thinning;
    bool group_is_early; /* it waits for an entry that finds no message open, to begin there */
    struct trace_frame *frame; /* waits for the sink's answer */
    uint64_t t_entry_ns, frames_in_group, thinned_in_group;
    struct trace_loss loss; /* since the last entry that went through */
    struct feed_counts counts;
    _Atomic bool anchor_is_wanted; /* a snapshot before the next entry that finds no message open */
    _Atomic bool is_closed;  /* nobody takes from the ring any more: entries are only counted */
    _Atomic bool is_removed; /* the data thread will not touch it again */
};

/* ring and line stay the caller's. */
void feed_init(struct feed *f, struct ring *ring, const struct line *line);
/* For line_add_tap. */
struct line_tap feed_tap(struct feed *f);
/* Has the line forgotten the tap? feed_removed says so of one that no line will be given, or whose
 * line has no thread any more. Any thread. */
bool feed_is_removed(const struct feed *f);
void feed_removed(struct feed *f);
/* Whoever takes from the ring wants to begin anew: a snapshot is to come soon. Any thread. */
void feed_want_anchor(struct feed *f);
/* Size of a ring that holds several snapshots and the largest entries of this line, of which one is
 * the promotion of the decoder in use. Any thread. */
size_t feed_least_ring(const struct line *line);
/* Does the ring hold those of the line with this decoder in use, too? Any thread. */
bool feed_takes(const struct feed *f, const struct line_decoder *next);

#endif
