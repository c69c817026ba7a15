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
#include "base/text.h"
#include "base/thread.h"
#include "feed/feed.h"
#include "feed/ring.h"
#include "feed/trace.h"
#include "record/drain.h"

#define THREAD_NAME "recorder"
#define STACK_BYTES (2u << 20) /* SQLite takes more than a data thread */
#define DETACH_POLL_NS 10000000u

struct recorder {
    struct store_about about;
    uint64_t sync_ns;
    struct ring *ring;
    struct feed feed;
    pthread_t thread;
    _Atomic bool finish_wanted;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool has_ended;
    struct recorder_status status; /* of the drain; the rest is read where it is */
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

static void show(struct recorder *r, const struct drain *d)
{
    uint64_t n_bytes = store_bytes(r->status.path); /* set once, before the thread */

    pthread_mutex_lock(&r->mutex);
    r->status.n_bytes = n_bytes;
    r->status.n_entries = d->n_entries;
    r->status.n_frames = d->n_frames;
    pthread_mutex_unlock(&r->mutex);
}

static struct store *open_store(struct recorder *r)
{
    struct latent_error err = {0};
    struct store *store;

    if (store_create(&store, r->status.path, &r->about, &err) == 0) {
        set_state(r, RECORDER_RECORDING, "");
        return store;
    }
    atomic_store(&r->feed.is_closed, true);
    set_state(r, RECORDER_FAILED, err.text);
    return NULL;
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

/* Turns until asked to end, or until the file takes no more. */
static enum store_result turns(struct recorder *r, struct drain *d)
{
    enum store_result result = STORE_OK;

    while (!result && !is_last_turn(r)) {
        uint64_t n_before = d->n_commits;

        result = drain_turn(d, clock_now_ns());
        if (d->n_commits != n_before) show(r, d);
        if (!result) wait_turn(d);
    }
    if (!result) result = drain_end(d, clock_now_ns());
    while (result == STORE_BUSY) {
        wait_turn(d);
        result = drain_end(d, clock_now_ns());
    }
    return result;
}

/* A loss that no later entry could tell, and the time. */
static void finish(struct recorder *r, struct drain *d)
{
    const struct ring_record record = {TRACE_LOSS, sizeof r->feed.loss, &r->feed.loss};

    if (r->feed.loss.n_entries > 0 && store_begin(d->store) == STORE_OK &&
        (store_put(d->store, &record) || store_commit(d->store, true)))
        store_rollback(d->store);
    store_finish(d->store);
}

static void count_lost(struct recorder *r, uint64_t n_entries, uint64_t n_frames)
{
    pthread_mutex_lock(&r->mutex);
    r->status.n_lost += n_entries;
    r->status.lost_frames += n_frames;
    pthread_mutex_unlock(&r->mutex);
}

/* What was in the ring when the file took no more. */
static void count_ring(struct recorder *r)
{
    struct ring_record record;
    uint64_t n_entries = 0, n_frames = 0;

    ring_look(r->ring);
    while (ring_take(r->ring, &record)) {
        n_entries += record.kind == TRACE_ENTRY;
        n_frames += record.kind == TRACE_FRAME;
    }
    ring_release(r->ring);
    count_lost(r, n_entries, n_frames);
}

/* What was in the open transaction and in the ring is not in the file. */
static void give_up(struct recorder *r, struct drain *d, enum store_result result)
{
    atomic_store(&r->feed.is_closed, true);
    count_lost(r, d->n_open_entries, d->n_open_frames);
    count_ring(r);
    set_state(r, result == STORE_FULL ? RECORDER_DISK_FULL : RECORDER_FAILED, store_text(d->store));
}

static void write_store(struct recorder *r, struct store *store)
{
    struct drain d;
    enum store_result result;

    drain_init(&d, r->ring, store, r->sync_ns);
    result = turns(r, &d);
    if (result)
        give_up(r, &d, result);
    else
        finish(r, &d);
    store_close(store);
    show(r, &d);
    if (!result) set_state(r, RECORDER_STOPPED, "");
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
    struct store *store = open_store(r);

    if (store) write_store(r, store);
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

static struct recorder *new_recorder(const struct recorder_options *options,
                                     const struct store_about *about, const struct line *line)
{
    size_t least = feed_least_ring(line);
    struct recorder *r = calloc(1, sizeof *r);

    if (!r) return NULL;
    init_waiting(r);
    r->about = *about;
    r->sync_ns = options->sync_ns;
    snprintf(r->status.path, sizeof r->status.path, "%s", options->path);
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
