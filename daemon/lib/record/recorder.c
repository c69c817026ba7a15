/* The thread: open, turn after turn, close. Its state is under a mutex that the data thread never
 * touches; with that one only atomics and the ring are shared. */
#include "record/recorder.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"
#include "feed/feed.h"
#include "feed/ring.h"
#include "feed/trace.h"
#include "record/drain.h"
#include "record/mapped.h"
#include "record/parts.h"
#include "record/told.h"

#define THREAD_NAME "recorder"
#define STACK_BYTES (2u << 20) /* SQLite takes more than a data thread */
#define DETACH_POLL_NS 10000000u

struct recorder {
    struct store_about about;
    uint64_t sync_ns, wal_bytes;
    struct ring *ring;
    struct feed feed;
    pthread_t thread;
    _Atomic bool finish_wanted;
    struct told told;

    /* Of the thread. */
    struct parts parts;
    struct drain drain;                 /* into the newest file */
    uint64_t lost_entries, lost_frames; /* that no file took */

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool has_ended;
    struct recorder_status status; /* of the files; the rest is read where it is */
};

static const char *const state_names[RECORDER_N_STATES] = {
    [RECORDER_OPENING] = "opening",
    [RECORDER_RECORDING] = "recording",
    [RECORDER_THINNED] = "thinned",
    [RECORDER_STOPPED] = "stopped",
    [RECORDER_DISK_FULL] = "stopped: disk full",
    [RECORDER_FAILED] = "stopped: failed",
};

const char *recorder_state_name(enum recorder_state state)
{
    assert(state < RECORDER_N_STATES);
    return state_names[state];
}

/* ---- in the thread ---- */

static void set_state(struct recorder *r, enum recorder_state state, const char *text)
{
    pthread_mutex_lock(&r->mutex);
    r->status.state = state;
    snprintf(r->status.text, sizeof r->status.text, "%s", text);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

/* In one go: what is written and what is lost add up at every look. */
static void show(struct recorder *r)
{
    const struct parts *p = &r->parts;
    struct recorder_status *status = &r->status;
    uint64_t n_bytes = p->kept_bytes + place_bytes_at(p->path);
    uint64_t wal_bytes = p->store ? store_wal_bytes(p->store) : 0;

    pthread_mutex_lock(&r->mutex);
    snprintf(status->path, sizeof status->path, "%s", p->path);
    status->n_files = p->n_files;
    status->n_bytes = n_bytes;
    status->wal_bytes = wal_bytes;
    status->n_entries = p->kept_entries + r->drain.n_entries;
    status->n_frames = p->kept_frames + r->drain.n_frames;
    status->n_lost = p->lost_entries + r->lost_entries;
    status->lost_frames = p->lost_frames + r->lost_frames;
    pthread_mutex_unlock(&r->mutex);
}

static bool is_last_turn(struct recorder *r)
{
    return atomic_load(&r->finish_wanted) && feed_is_removed(&r->feed);
}

static void wait_turn(const struct drain *d)
{
    struct timespec period = clock_timespec(drain_period_ns(d));

    clock_nanosleep(CLOCK_MONOTONIC, 0, &period, NULL);
}

/* What was in the ring when no file took it. */
static void count_ring(struct recorder *r)
{
    struct ring_record record;

    ring_look(r->ring);
    while (ring_take(r->ring, &record)) {
        r->lost_entries += record.kind == TRACE_ENTRY;
        r->lost_frames += record.kind == TRACE_FRAME;
    }
    ring_release(r->ring);
    show(r);
}

static void give_up(struct recorder *r, enum recorder_state state, const char *text)
{
    atomic_store(&r->feed.is_closed, true);
    parts_close(&r->parts);
    count_ring(r);
    set_state(r, state, text);
    log_say(LOG_LEVEL_ERROR, "stream %s: its record is %s: %s", r->about.stream,
            recorder_state_name(state), text);
}

/* ---- one file ---- */

enum part_end { PART_GOES_ON, PART_FINISHED, PART_FULL, PART_FAILED, PART_LEFT };

/* Has anything happened to the file? What can still be written into is left only where the next one
 * can begin: at a snapshot. */
static enum part_end look(struct recorder *r, enum parts_leave *why)
{
    struct drain *d = &r->drain;
    enum place_found found = d->in_transaction ? PLACE_SAME : store_look(d->store);

    if (d->in_transaction) return PART_GOES_ON;
    *why = found == PLACE_GONE ? PARTS_GONE : found == PLACE_CUT ? PARTS_BROKEN : PARTS_MOVED;
    if (*why != PARTS_MOVED) return PART_LEFT;
    if (found == PLACE_SAME) {
        d->ends_at_anchor = store_wal_bytes(d->store) > r->wal_bytes;
        *why = PARTS_LONG;
    } else {
        d->ends_at_anchor = true;
    }
    if (d->ends_at_anchor) feed_want_anchor(&r->feed);
    return PART_GOES_ON;
}

static enum part_end turn(struct recorder *r, enum parts_leave *why)
{
    struct drain *d = &r->drain;
    bool is_last = is_last_turn(r);
    uint64_t n_before = d->n_commits;
    enum store_result result;

    if (look(r, why) == PART_LEFT) return PART_LEFT;
    result = is_last ? drain_end(d, clock_now_ns()) : drain_turn(d, clock_now_ns());
    if (result == STORE_FULL) return PART_FULL;
    if (result == STORE_FAILED) {
        *why = store_look(d->store) == PLACE_GONE ? PARTS_GONE : PARTS_BROKEN;
        return d->n_commits > 0 ? PART_LEFT : PART_FAILED;
    }
    if (!d->in_transaction) told_write(&r->told, r->parts.store);
    if (d->n_commits != n_before) show(r);
    if (d->is_at_anchor && !d->in_transaction) return PART_LEFT;
    return is_last && result == STORE_OK ? PART_FINISHED : PART_GOES_ON;
}

/* A loss that no later entry could tell, and the time. */
static void finish(struct recorder *r)
{
    struct store *store = r->parts.store;
    const struct ring_record record = {TRACE_LOSS, sizeof r->feed.loss, &r->feed.loss};

    if (r->feed.loss.n_entries > 0 && store_begin(store) == STORE_OK &&
        (store_put(store, &record) || store_commit(store, true)))
        store_rollback(store);
    store_finish(store);
    parts_end(&r->parts, &r->drain);
    r->drain.n_entries = r->drain.n_frames = 0; /* the parts have them */
    show(r);
    set_state(r, RECORDER_STOPPED, r->parts.text);
}

/* false: there is none. */
static bool begin_next(struct recorder *r, enum parts_leave why)
{
    struct latent_error err = {0};
    char text[LATENT_ERROR_TEXT];
    int status;

    if (why <= PARTS_LONG)
        store_finish(r->parts.store);
    else
        feed_want_anchor(&r->feed); /* what comes before it can be read, not verified */
    status = parts_next(&r->parts, why, &r->drain, &err);
    drain_init(&r->drain, r->ring, r->parts.store, r->sync_ns);
    if (!status) {
        show(r);
        set_state(r, RECORDER_RECORDING, r->parts.text);
        return true;
    }
    snprintf(text, sizeof text, "%.250s; %.250s", r->parts.text, err.text);
    give_up(r, RECORDER_FAILED, text);
    return false;
}

/* ---- all files ---- */

static bool begin_first(struct recorder *r)
{
    struct latent_error err = {0};

    if (parts_open(&r->parts, r->status.path, &r->about, &err)) {
        give_up(r, RECORDER_FAILED, err.text);
        return false;
    }
    drain_init(&r->drain, r->ring, r->parts.store, r->sync_ns);
    show(r);
    set_state(r, RECORDER_RECORDING, "");
    return true;
}

/* Until asked to end, or until nothing more can be written. */
static void write_files(struct recorder *r)
{
    enum parts_leave why = PARTS_LONG;
    bool is_on = begin_first(r);

    while (is_on) {
        enum part_end end = turn(r, &why);

        if (end == PART_GOES_ON) wait_turn(&r->drain);
        if (end == PART_LEFT) is_on = begin_next(r, why);
        if (end == PART_FINISHED) finish(r);
        if (end == PART_FULL || end == PART_FAILED) {
            char text[LATENT_ERROR_TEXT];

            snprintf(text, sizeof text, "%s", store_text(r->parts.store));
            give_up(r, end == PART_FULL ? RECORDER_DISK_FULL : RECORDER_FAILED, text);
        }
        is_on = is_on && (end == PART_GOES_ON || end == PART_LEFT);
    }
}

/* Until it is, the data thread may be at the ring. */
static void wait_detached(struct recorder *r)
{
    const struct timespec period = clock_timespec(DETACH_POLL_NS);

    while (!feed_is_removed(&r->feed)) {
        count_ring(r);
        clock_nanosleep(CLOCK_MONOTONIC, 0, &period, NULL);
    }
    count_ring(r);
}

static void *run(void *ctx)
{
    struct recorder *r = ctx;

    mapped_guard_thread();
    write_files(r);
    wait_detached(r);
    pthread_mutex_lock(&r->mutex);
    r->has_ended = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

/* ---- of the control thread ---- */

struct line_tap recorder_tap(struct recorder *r)
{
    return feed_tap(&r->feed);
}

void recorder_detached(struct recorder *r)
{
    feed_removed(&r->feed);
}

void recorder_finish(struct recorder *r)
{
    atomic_store(&r->finish_wanted, true);
}

typedef bool condition_fn(const struct recorder *r);

static bool is_open(const struct recorder *r)
{
    return r->status.state != RECORDER_OPENING || r->has_ended;
}

static bool has_ended(const struct recorder *r)
{
    return r->has_ended;
}

static bool wait_for(struct recorder *r, condition_fn *condition, uint64_t timeout_ns)
{
    struct timespec until = clock_timespec(clock_now_ns() + timeout_ns);
    int status = 0;
    bool is_so;

    pthread_mutex_lock(&r->mutex);
    while (!condition(r) && status == 0)
        status = pthread_cond_timedwait(&r->changed, &r->mutex, &until);
    is_so = condition(r);
    pthread_mutex_unlock(&r->mutex);
    return is_so;
}

bool recorder_wait_open(struct recorder *r, uint64_t timeout_ns)
{
    return wait_for(r, is_open, timeout_ns);
}

bool recorder_wait_end(struct recorder *r, uint64_t timeout_ns)
{
    return wait_for(r, has_ended, timeout_ns);
}

bool recorder_has_ended(struct recorder *r)
{
    bool is_so;

    pthread_mutex_lock(&r->mutex);
    is_so = has_ended(r);
    pthread_mutex_unlock(&r->mutex);
    return is_so;
}

bool recorder_tell_late(struct recorder *r, const struct why_bin *b)
{
    return told_add(&r->told, b);
}

bool recorder_is_on(struct recorder *r)
{
    struct recorder_status status;

    recorder_read(r, &status);
    return status.state < RECORDER_STOPPED && !atomic_load(&r->finish_wanted);
}

static uint64_t counted(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void recorder_read(struct recorder *r, struct recorder_status *out)
{
    struct feed_counts *counts = &r->feed.counts;

    pthread_mutex_lock(&r->mutex);
    *out = r->status;
    pthread_mutex_unlock(&r->mutex);
    if (out->state == RECORDER_RECORDING && atomic_load(&counts->is_thinning))
        out->state = RECORDER_THINNED;
    out->n_thinned = counted(&counts->n_thinned);
    out->n_lost += counted(&counts->n_lost);
    out->lost_frames += counted(&counts->lost_frames);
    out->n_gaps = counted(&counts->n_gaps);
    out->buffer_used = ring_level(r->ring);
    out->buffer_bytes = ring_size(r->ring);
}

/* ---- life ---- */

static void free_recorder(struct recorder *r)
{
    told_close(&r->told);
    ring_free(r->ring);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

static void init_waiting(struct recorder *r)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&r->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool recorder_takes(const struct recorder *r, const struct line_decoder *next)
{
    return feed_takes(&r->feed, next);
}

static struct recorder *new_recorder(const struct recorder_options *options,
                                     const struct store_about *about, const struct line *line)
{
    size_t least = feed_least_ring(line);
    struct recorder *r = calloc(1, sizeof *r);

    if (!r) return NULL;
    init_waiting(r);
    told_open(&r->told);
    r->about = *about;
    r->sync_ns = options->sync_ns;
    r->wal_bytes = options->wal_bytes ? options->wal_bytes : STORE_WAL_BYTES;
    snprintf(r->status.path, sizeof r->status.path, "%s", options->path);
    snprintf(r->parts.path, sizeof r->parts.path, "%s", options->path);
    r->ring = ring_new(options->buffer_bytes > least ? options->buffer_bytes : least);
    if (!r->ring) {
        free_recorder(r);
        return NULL;
    }
    feed_init(&r->feed, r->ring, line);
    return r;
}

int recorder_open(struct recorder **out, const struct recorder_options *options,
                  const struct store_about *about, const struct line *line,
                  struct latent_error *err)
{
    struct recorder *r = new_recorder(options, about, line);
    const struct thread_wish wish = {.cpu = THREAD_ANY_CPU, .stack_bytes = STACK_BYTES};
    int status;

    *out = NULL;
    if (!r) return error_text(err, LATENT_E_NOMEM, "record %s: out of memory", options->path);
    status = thread_start(&r->thread, THREAD_NAME, &wish, run, r);
    if (status) {
        free_recorder(r);
        return error_text(err, LATENT_E_IO, "record %s: no thread: %s", options->path,
                          strerror(status));
    }
    *out = r;
    return 0;
}

bool recorder_close(struct recorder *r, uint64_t timeout_ns)
{
    if (!r) return true;
    recorder_finish(r);
    if (!recorder_wait_end(r, timeout_ns)) {
        pthread_detach(r->thread);
        return false;
    }
    pthread_join(r->thread, NULL);
    free_recorder(r);
    return true;
}
