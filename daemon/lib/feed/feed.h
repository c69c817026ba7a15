/* The data thread's side of a record: what the line tells goes into the ring, or is
 * counted as lost. Nothing here waits, allocates or calls the system. */
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "feed/ring.h"
#include "feed/trace.h"
#include "line/line.h"

/* Written by the data thread, read by any. */
struct tap_counts {
    _Atomic uint64_t n_thinned;   /* frames that went without their bytes */
    _Atomic uint64_t n_lost;      /* entries, and with them all that they caused */
    _Atomic uint64_t lost_frames; /* of those entries */
    _Atomic uint64_t n_gaps;      /* runs of lost entries */
    _Atomic bool is_thinning;     /* now: the ring is filling up, or has been full */
};

struct tap {
    struct ring *ring;
    const struct line *line;
    size_t n_snapshot; /* bytes */
    bool is_anchored;  /* the ring has a snapshot, and all entries since */
    bool group_is_lost, is_thinning;
    struct trace_frame *frame; /* waits for the sink's answer */
    uint64_t t_entry_ns, frames_in_group;
    struct trace_loss loss; /* since the last entry that went through */
    struct tap_counts counts;
    _Atomic bool is_closed; /* the file takes no more: entries are only counted */
};

/* ring and line stay the caller's. */
void tap_init(struct tap *t, struct ring *ring, const struct line *line);
/* To be given to line_set_tap, in the data thread or before it runs. */
struct line_tap tap_of_line(struct tap *t);
/* Size of a ring that holds several snapshots and the largest entry of this line. */
size_t tap_least_ring(const struct line *line);

#endif
