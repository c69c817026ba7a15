/* Each entry is a group of the ring: it goes through whole or not at all. After a loss
 * the first entry that finds room again carries the loss and a new snapshot, so that
 * what follows can be verified on its own. */
#include "feed/feed.h"

#include <assert.h>
#include <string.h>

/* Above the first mark frames go without their bytes, which a replay makes again; below
 * the second all is well. */
#define THIN_ABOVE(ring) (ring_size(ring) / 4 * 3)
#define WELL_BELOW(ring) (ring_size(ring) / 2)

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + n, memory_order_relaxed);
}

/* ---- groups ---- */

/* Nothing more of this entry, and nothing before the next snapshot. */
static void lose_group(struct feed *f)
{
    ring_abort(f->ring);
    f->frame = NULL;
    f->group_is_lost = true;
    if (f->loss.n_entries == 0) count(&f->counts.n_gaps, 1);
    f->is_anchored = false;
}

static void put(struct feed *f, enum trace_kind kind, const void *head, size_t n_head,
                const void *bytes, size_t n_bytes)
{
    unsigned char *at;

    if (f->group_is_lost) return;
    at = ring_put(f->ring, kind, n_head + n_bytes);
    if (!at) {
        lose_group(f);
        return;
    }
    memcpy(at, head, n_head);
    if (n_bytes) memcpy(at + n_head, bytes, n_bytes);
}

/* With it goes whose it is: what is known of the promotion may be in a gap. */
static void put_snapshot(struct feed *f)
{
    const struct line_decoder *d = line_decoder(f->line);
    size_t n = line_size(f->line);
    void *at;

    put(f, TRACE_DECODER, d->entry, d->n_label, NULL, 0);
    at = f->group_is_lost ? NULL : ring_put(f->ring, TRACE_SNAPSHOT, n);
    if (at && line_save(f->line, at, n) == 0) return;
    if (!f->group_is_lost) lose_group(f);
}

/* A snapshot is large: after a loss it waits until the ring has drained. */
static void anchor(struct feed *f)
{
    if (f->loss.n_entries > 0 && ring_used(f->ring) > WELL_BELOW(f->ring)) {
        f->group_is_lost = true;
        return;
    }
    if (f->loss.n_entries > 0) put(f, TRACE_LOSS, &f->loss, sizeof f->loss, NULL, 0);
    put_snapshot(f);
}

/* Wished for by whoever takes; once. */
static bool anchor_is_due(struct feed *f)
{
    if (!atomic_load_explicit(&f->anchor_is_wanted, memory_order_relaxed)) return false;
    if (line_has_work(f->line)) return false;
    atomic_store_explicit(&f->anchor_is_wanted, false, memory_order_relaxed);
    return true;
}

static void judge_room(struct feed *f)
{
    size_t used = ring_used(f->ring);

    if (used > THIN_ABOVE(f->ring)) f->is_thinning = true;
    if (used < WELL_BELOW(f->ring)) f->is_thinning = false;
}

/* ---- events ---- */

static struct trace_event event_of(const struct line_event *e)
{
    return (struct trace_event){
        .t_ns = e->t_ns, .epoch = e->epoch, .seq = e->seq, .kind = e->kind, .what = e->what};
}

static void on_entry(struct feed *f, const struct line_event *e)
{
    const struct trace_event head = event_of(e);
    bool is_inside = !f->is_anchored && line_has_work(f->line); /* of a message: no snapshot */

    f->group_is_early = is_inside && f->loss.n_entries == 0;
    f->group_is_lost = is_inside;
    f->frames_in_group = f->thinned_in_group = 0;
    f->t_entry_ns = e->t_ns;
    if (atomic_load_explicit(&f->is_closed, memory_order_relaxed)) {
        f->group_is_lost = true;
        return;
    }
    judge_room(f);
    if (!f->is_anchored && !is_inside) anchor(f);
    if (f->is_anchored && anchor_is_due(f)) put_snapshot(f);
    put(f, TRACE_ENTRY, &head, sizeof head, e->bytes, e->n_bytes);
}

static void on_done(struct feed *f, const struct line_event *e)
{
    (void)e;
    if (f->group_is_early) return;
    if (f->group_is_lost) {
        if (f->loss.n_entries++ == 0) f->loss.t_ns = f->t_entry_ns;
        f->loss.n_frames += f->frames_in_group;
        count(&f->counts.n_lost, 1);
        count(&f->counts.lost_frames, f->frames_in_group);
    } else {
        ring_commit(f->ring);
        count(&f->counts.n_thinned, f->thinned_in_group);
        f->is_anchored = true;
        f->loss = (struct trace_loss){0};
    }
    atomic_store_explicit(&f->counts.is_thinning, f->is_thinning || f->group_is_lost,
                          memory_order_relaxed);
}

static void on_clock(struct feed *f, const struct line_event *e)
{
    put(f, TRACE_CLOCK, &e->t_ns, sizeof e->t_ns, NULL, 0);
}

static void on_action(struct feed *f, const struct line_event *e)
{
    const struct trace_event head = event_of(e);
    put(f, TRACE_ACTION, &head, sizeof head, NULL, 0);
}

static void on_outcome(struct feed *f, const struct line_event *e)
{
    const struct trace_event head = event_of(e);
    put(f, TRACE_OUTCOME, &head, sizeof head, NULL, 0);
}

/* The sink's answer is written into the frame's head as soon as it is known. */
static void on_frame(struct feed *f, const struct line_event *e)
{
    size_t n_bytes = f->is_thinning ? 0 : e->n_bytes;

    f->frames_in_group++;
    if (f->group_is_lost) return;
    f->frame = ring_put(f->ring, TRACE_FRAME, sizeof *f->frame + n_bytes);
    if (!f->frame) {
        lose_group(f);
        return;
    }
    *f->frame = (struct trace_frame){.epoch = e->epoch, .seq = e->seq, .flags = e->what};
    if (n_bytes) memcpy(f->frame + 1, e->bytes, n_bytes);
    f->thinned_in_group += n_bytes == 0;
}

static void on_sent(struct feed *f, const struct line_event *e)
{
    if (f->frame) f->frame->sent = e->what;
    f->frame = NULL;
}

static void on_event(void *ctx, const struct line_event *e)
{
    static void (*const on[LINE_N_EVENTS])(struct feed *, const struct line_event *) = {
        [LINE_CLOCK] = on_clock,     [LINE_SENT] = on_sent,   [LINE_ACTION] = on_action,
        [LINE_OUTCOME] = on_outcome, [LINE_FRAME] = on_frame, [LINE_DONE] = on_done,
    };
    struct feed *f = ctx;

    if (line_event_is_entry(e->kind))
        on_entry(f, e);
    else
        on[e->kind](f, e);
}

/* ---- life ---- */

static void on_removed(void *ctx)
{
    feed_removed(ctx);
}

void feed_removed(struct feed *f)
{
    atomic_store_explicit(&f->is_removed, true, memory_order_release);
}

bool feed_is_removed(const struct feed *f)
{
    return atomic_load_explicit(&f->is_removed, memory_order_acquire);
}

void feed_want_anchor(struct feed *f)
{
    atomic_store_explicit(&f->anchor_is_wanted, true, memory_order_relaxed);
}

void feed_init(struct feed *f, struct ring *ring, const struct line *line)
{
    memset(f, 0, sizeof *f);
    f->ring = ring;
    f->line = line;
}

struct line_tap feed_tap(struct feed *f)
{
    return (struct line_tap){.on_event = on_event, .on_removed = on_removed, .ctx = f};
}

/* Of a line's snapshots, with their labels; an entry is at most as large as that, or a message. */
static size_t least_ring(size_t n_snapshot, size_t n_message)
{
    return 4 * (2 * (n_snapshot + sizeof(struct label)) + n_message);
}

size_t feed_least_ring(const struct line *line)
{
    return least_ring(line_size(line), line_max_payload(line));
}

bool feed_takes(const struct feed *f, const struct line_decoder *next)
{
    return ring_size(f->ring) >= least_ring(line_size_with(next), line_max_payload(f->line));
}
