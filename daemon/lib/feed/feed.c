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
static void lose_group(struct tap *t)
{
    ring_abort(t->ring);
    t->frame = NULL;
    t->group_is_lost = true;
    if (t->loss.n_entries == 0) count(&t->counts.n_gaps, 1);
    t->is_anchored = false;
}

static void put(struct tap *t, enum trace_kind kind, const void *head, size_t n_head,
                const void *bytes, size_t n_bytes)
{
    unsigned char *at;

    if (t->group_is_lost) return;
    at = ring_put(t->ring, kind, n_head + n_bytes);
    if (!at) {
        lose_group(t);
        return;
    }
    memcpy(at, head, n_head);
    if (n_bytes) memcpy(at + n_head, bytes, n_bytes);
}

static void put_snapshot(struct tap *t)
{
    void *at = t->group_is_lost ? NULL : ring_put(t->ring, TRACE_SNAPSHOT, t->n_snapshot);

    if (at && line_save(t->line, at, t->n_snapshot) == 0) return;
    if (!t->group_is_lost) lose_group(t);
}

/* A snapshot is large: after a loss it waits until the ring has drained. */
static void anchor(struct tap *t)
{
    if (t->loss.n_entries > 0 && ring_used(t->ring) > WELL_BELOW(t->ring)) {
        t->group_is_lost = true;
        return;
    }
    if (t->loss.n_entries > 0) put(t, TRACE_LOSS, &t->loss, sizeof t->loss, NULL, 0);
    put_snapshot(t);
}

static void judge_room(struct tap *t)
{
    size_t used = ring_used(t->ring);

    if (used > THIN_ABOVE(t->ring)) t->is_thinning = true;
    if (used < WELL_BELOW(t->ring)) t->is_thinning = false;
}

/* ---- events ---- */

static struct trace_event event_of(const struct line_event *e)
{
    return (struct trace_event){
        .t_ns = e->t_ns, .epoch = e->epoch, .seq = e->seq, .kind = e->kind, .what = e->what};
}

static void on_entry(struct tap *t, const struct line_event *e)
{
    const struct trace_event head = event_of(e);

    t->group_is_lost = false;
    t->frames_in_group = 0;
    t->t_entry_ns = e->t_ns;
    if (atomic_load_explicit(&t->is_closed, memory_order_relaxed)) {
        t->group_is_lost = true;
        return;
    }
    judge_room(t);
    if (!t->is_anchored) anchor(t);
    put(t, TRACE_ENTRY, &head, sizeof head, e->bytes, e->n_bytes);
}

static void on_done(struct tap *t, const struct line_event *e)
{
    (void)e;
    if (t->group_is_lost) {
        if (t->loss.n_entries++ == 0) t->loss.t_ns = t->t_entry_ns;
        t->loss.n_frames += t->frames_in_group;
        count(&t->counts.n_lost, 1);
        count(&t->counts.lost_frames, t->frames_in_group);
    } else {
        ring_commit(t->ring);
        t->is_anchored = true;
        t->loss = (struct trace_loss){0};
    }
    atomic_store_explicit(&t->counts.is_thinning, t->is_thinning || t->group_is_lost,
                          memory_order_relaxed);
}

static void on_clock(struct tap *t, const struct line_event *e)
{
    put(t, TRACE_CLOCK, &e->t_ns, sizeof e->t_ns, NULL, 0);
}

static void on_action(struct tap *t, const struct line_event *e)
{
    const struct trace_event head = event_of(e);
    put(t, TRACE_ACTION, &head, sizeof head, NULL, 0);
}

static void on_outcome(struct tap *t, const struct line_event *e)
{
    const struct trace_event head = event_of(e);
    put(t, TRACE_OUTCOME, &head, sizeof head, NULL, 0);
}

/* The sink's answer is written into the frame's head as soon as it is known. */
static void on_frame(struct tap *t, const struct line_event *e)
{
    size_t n_bytes = t->is_thinning ? 0 : e->n_bytes;

    t->frames_in_group++;
    if (t->group_is_lost) return;
    t->frame = ring_put(t->ring, TRACE_FRAME, sizeof *t->frame + n_bytes);
    if (!t->frame) {
        lose_group(t);
        return;
    }
    *t->frame = (struct trace_frame){.epoch = e->epoch, .seq = e->seq, .flags = e->what};
    if (n_bytes) memcpy(t->frame + 1, e->bytes, n_bytes);
    count(&t->counts.n_thinned, n_bytes == 0);
}

static void on_sent(struct tap *t, const struct line_event *e)
{
    if (t->frame) t->frame->sent = e->what;
    t->frame = NULL;
}

static void on_event(void *ctx, const struct line_event *e)
{
    static void (*const on[LINE_N_EVENTS])(struct tap *, const struct line_event *) = {
        [LINE_CLOCK] = on_clock,     [LINE_SENT] = on_sent,   [LINE_ACTION] = on_action,
        [LINE_OUTCOME] = on_outcome, [LINE_FRAME] = on_frame, [LINE_DONE] = on_done,
    };
    struct tap *t = ctx;

    if (line_event_is_entry(e->kind))
        on_entry(t, e);
    else
        on[e->kind](t, e);
}

/* ---- life ---- */

void tap_init(struct tap *t, struct ring *ring, const struct line *line)
{
    memset(t, 0, sizeof *t);
    t->ring = ring;
    t->line = line;
    t->n_snapshot = line_size(line);
}

struct line_tap tap_of_line(struct tap *t)
{
    return (struct line_tap){.on_event = on_event, .ctx = t};
}

size_t tap_least_ring(const struct line *line)
{
    return 4 * (line_size(line) + line_max_payload(line));
}
