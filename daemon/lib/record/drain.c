/* What is in the ring at a turn is in the open transaction after it; the transaction is committed
 * when a quarter of the interval has passed since it began, or when it holds much of the ring:
 * only then is the ring's memory free again. Turns come often enough that more than half of the
 * interval is left for the commit itself. */
#include "record/drain.h"

#include "feed/trace.h"

#define TURNS_PER_SYNC 8
#define COMMITS_PER_SYNC 4

void drain_init(struct drain *d, struct ring *ring, struct store *store, uint64_t sync_ns)
{
    *d = (struct drain){.ring = ring, .store = store, .sync_ns = sync_ns};
}

uint64_t drain_period_ns(const struct drain *d)
{
    return d->sync_ns / TURNS_PER_SYNC;
}

static enum store_result begin(struct drain *d, uint64_t now_ns)
{
    enum store_result result = d->in_transaction ? STORE_OK : store_begin(d->store);

    if (result || d->in_transaction) return result;
    d->in_transaction = true;
    d->t_begun_ns = now_ns;
    return STORE_OK;
}

static void account(struct drain *d, const struct ring_record *record)
{
    d->n_open_entries += record->kind == TRACE_ENTRY;
    d->n_open_frames += record->kind == TRACE_FRAME;
}

/* Whole groups only: ring_look sees no others, and all that it saw is taken. */
static enum store_result take(struct drain *d, uint64_t now_ns)
{
    struct ring_record record;
    enum store_result result;

    ring_look(d->ring);
    if (!ring_waits(d->ring)) return STORE_OK;
    result = begin(d, now_ns);
    while (!result && ring_peek(d->ring, &record)) {
        d->is_at_anchor = d->ends_at_anchor && record.kind < TRACE_ENTRY;
        if (d->is_at_anchor) break;
        result = store_put(d->store, &record);
        account(d, &record);
        ring_take(d->ring, &record);
    }
    return result;
}

static enum store_result commit(struct drain *d, uint64_t now_ns)
{
    bool to_disk = now_ns - d->t_disk_ns >= DRAIN_DISK_NS;
    enum store_result result = store_commit(d->store, to_disk);

    if (result) return result;
    if (to_disk) d->t_disk_ns = now_ns;
    ring_release(d->ring);
    d->in_transaction = false;
    d->n_commits++;
    d->n_entries += d->n_open_entries;
    d->n_frames += d->n_open_frames;
    d->n_open_entries = d->n_open_frames = 0;
    return store_checkpoint(d->store);
}

static bool commit_is_due(const struct drain *d, uint64_t now_ns, uint64_t patience_ns)
{
    return d->in_transaction && (d->is_at_anchor || now_ns - d->t_begun_ns >= patience_ns ||
                                 ring_level(d->ring) > ring_size(d->ring) / 4);
}

static void put_back(struct drain *d)
{
    store_rollback(d->store);
    ring_rewind(d->ring);
    d->in_transaction = d->is_at_anchor = false;
    d->n_open_entries = d->n_open_frames = 0;
}

static enum store_result turn(struct drain *d, uint64_t now_ns, uint64_t patience_ns)
{
    enum store_result result = take(d, now_ns);

    if (!result && commit_is_due(d, now_ns, patience_ns)) result = commit(d, now_ns);
    if (result == STORE_BUSY) d->n_busy++;
    if (result > STORE_BUSY) put_back(d);
    return result;
}

enum store_result drain_turn(struct drain *d, uint64_t now_ns)
{
    enum store_result result = turn(d, now_ns, d->sync_ns / COMMITS_PER_SYNC);

    return result == STORE_BUSY ? STORE_OK : result;
}

enum store_result drain_end(struct drain *d, uint64_t now_ns)
{
    return turn(d, now_ns, 0);
}
