/* From the ring into the file, a transaction every quarter of the sync interval. Time is an
 * argument: tests run it on a virtual clock. */
#ifndef RECORD_DRAIN_H
#define RECORD_DRAIN_H

#include "feed/ring.h"
#include "record/store.h"

#define DRAIN_DISK_NS 1000000000u /* how often a commit waits for the disk */

struct drain {
    struct ring *ring;
    struct store *store;
    uint64_t sync_ns;
    bool in_transaction;
    bool ends_at_anchor; /* wished: what begins with the next snapshot is for another file */
    bool is_at_anchor;   /* it is the next in the ring; all before it is committed */
    uint64_t t_begun_ns, t_disk_ns;
    uint64_t n_open_entries, n_open_frames; /* in the open transaction */
    uint64_t n_entries, n_frames, n_commits, n_busy;
};

void drain_init(struct drain *d, struct ring *ring, struct store *store, uint64_t sync_ns);
/* How long to wait between two turns. */
uint64_t drain_period_ns(const struct drain *d);
/* Take what there is, and commit if it is time. BUSY is counted, not returned: the next turn tries
 * again. FULL and FAILED: what was in the open transaction is in the ring again, and no further
 * turn may follow. */
enum store_result drain_turn(struct drain *d, uint64_t now_ns);
/* The last turn: everything is taken and committed. Also BUSY: call again. */
enum store_result drain_end(struct drain *d, uint64_t now_ns);

#endif
