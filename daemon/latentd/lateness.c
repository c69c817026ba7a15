/* One look each ten milliseconds. What is in it of a time in which the thread itself did not get to
 * look tells that the process was stopped. */
#include "latentd/lateness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/thread.h"
#include "latentd/daemon.h"
#include "why/sched.h"

#define THREAD_NAME "lateness"
#define PERIOD_NS 10000000u
#define SAMPLES 1024         /* that are kept, some ten seconds; a power of two */
#define BINS_A_LOOK 64       /* that are explained; the others wait for the next look */
#define STOP_NS 5000000u     /* shorter ones are not told from a machine that is busy */
#define STEAL_NS 1000000000u /* how often what the host took is looked at */

struct of_loop {
    char (*names)[WHY_NAME_BYTES]; /* of its streams */
    int fd;                        /* of its thread's times */
    bool was_read;
    struct sched_times times;
    struct why_sample samples[SAMPLES]; /* a ring */
};

struct of_stream {
    size_t loop, place;
    uint64_t n_read;     /* late bins of its line that were looked at */
    uint64_t n_recorded; /* of n_kept; the control thread's */
    /* Under the mutex. */
    uint64_t n_told, n_lost, n_kept;
    struct why_bin kept[LATENESS_KEPT]; /* a ring */
};

struct steal {
    bool is_told;
    uint64_t t_ns, ns;
};

struct lateness {
    struct daemon *daemon;
    struct of_loop *loops;
    struct of_stream *streams;
    pthread_t thread;
    _Atomic bool ends;
    pthread_mutex_t mutex;

    /* Of the thread. */
    int own_fd;
    struct sched_times own;
    bool own_was_read;
    uint64_t t_last_ns, n_samples;
    struct steal steal[2]; /* the newest two looks, the older first */
    struct why_span *spans;
    const char **names;
    struct why_piece *pieces;
    struct why_sample *line_of_samples; /* the ring, straight */
    struct why_bin found;
};

/* ---- looking ---- */

/* What became of its thread since the last look. */
static void look_at_thread(struct of_loop *o, struct why_sample *sample)
{
    struct sched_times now = {0};
    bool is_read = sched_read(o->fd, &now);

    sample->delay_ns = WHY_UNKNOWN_NS;
    if (is_read && o->was_read) {
        sample->delay_ns = now.delay_ns - o->times.delay_ns;
        sample->n_delays = now.n_runs - o->times.n_runs;
    }
    o->was_read = is_read;
    o->times = now;
}

/* By this thread's own time, of which it slept slept_ns as it wanted to. */
static uint64_t stopped_since(struct lateness *l, uint64_t now_ns, uint64_t slept_ns)
{
    struct sched_times now;
    bool is_read = sched_read(l->own_fd, &now), both = is_read && l->own_was_read;
    uint64_t stopped_ns = 0;

    if (both)
        stopped_ns = why_stopped_ns(now_ns - l->t_last_ns, slept_ns, now.ran_ns - l->own.ran_ns,
                                    now.delay_ns - l->own.delay_ns, STOP_NS);
    l->own_was_read = is_read;
    l->own = now;
    return stopped_ns;
}

static void look(struct lateness *l, uint64_t slept_ns)
{
    uint64_t now_ns = clock_now_ns(), stopped_ns = stopped_since(l, now_ns, slept_ns);

    for (size_t i = 0; i < l->daemon->n_loops; i++) {
        struct why_sample *sample = &l->loops[i].samples[l->n_samples % SAMPLES];

        *sample =
            (struct why_sample){.from_ns = l->t_last_ns, .to_ns = now_ns, .stopped_ns = stopped_ns};
        look_at_thread(&l->loops[i], sample);
    }
    l->t_last_ns = now_ns;
    l->n_samples++;
}

static void look_at_steal(struct lateness *l, uint64_t least_ns)
{
    uint64_t now_ns = clock_now_ns();

    if (l->steal[1].t_ns && now_ns - l->steal[1].t_ns < least_ns) return;
    l->steal[0] = l->steal[1];
    l->steal[1].t_ns = now_ns;
    l->steal[1].is_told = sched_read_steal(&l->steal[1].ns);
}

/* ---- explaining ---- */

/* The turns of a loop that are still there, in order. */
static void take_spans(struct lateness *l, struct data_loop *loop, struct why_known *known)
{
    uint64_t count = trail_count(&loop->spans), first = trail_first(&loop->spans, count), n = 0;

    for (uint64_t i = first; i < count; i++) {
        uint64_t words[WHY_SPAN_WORDS];

        if (!trail_read(&loop->spans, i, words)) {
            n = 0; /* written over meanwhile, and so were those before it */
            first = i + 1;
            continue;
        }
        l->spans[n++] = (struct why_span){words[0], words[1], words[2]};
    }
    known->spans = l->spans;
    known->n_spans = n;
    known->spans_from_ns = first == 0 ? 0 : n ? l->spans[0].from_ns : UINT64_MAX;
}

static void take_samples(struct lateness *l, const struct of_loop *o, struct why_known *known)
{
    size_t n = l->n_samples < SAMPLES ? (size_t)l->n_samples : SAMPLES;

    for (size_t i = 0; i < n; i++)
        l->line_of_samples[i] = o->samples[(l->n_samples - n + i) % SAMPLES];
    known->samples = l->line_of_samples;
    known->n_samples = n;
}

static void take_names(struct lateness *l, const struct of_loop *o, size_t n,
                       struct why_known *known)
{
    for (size_t i = 0; i < n; i++) l->names[i] = o->names[i];
    known->names = l->names;
    known->n_names = n;
}

static void add_steal(const struct lateness *l, struct why_bin *b)
{
    const struct steal *from = &l->steal[0], *to = &l->steal[1];

    if (!from->is_told || !to->is_told) return;
    b->steal_ns = to->ns - from->ns;
    b->steal_of_ns = to->t_ns - from->t_ns;
}

static void keep(struct lateness *l, struct of_stream *s, const struct why_bin *b, uint64_t n_told,
                 uint64_t n_lost)
{
    pthread_mutex_lock(&l->mutex);
    s->n_lost += n_lost;
    s->n_told = n_told;
    if (b) s->kept[s->n_kept++ % LATENESS_KEPT] = *b;
    pthread_mutex_unlock(&l->mutex);
}

/* The next late bin whose time the last look covers; false: there is none. */
static bool next_late(struct lateness *l, struct of_stream *s, struct line *line,
                      struct late_bin *out)
{
    while (s->n_read < line_n_late(line)) {
        if (line_read_late(line, s->n_read, out)) {
            if (out->t_done_ns > l->t_last_ns) return false;
            s->n_read++;
            return true;
        }
        s->n_read++;
        keep(l, s, NULL, s->n_read, 1);
    }
    return false;
}

/* What is known is looked for when there is something to explain. */
static void explain(struct lateness *l, struct of_stream *s, struct stream *stream)
{
    struct data_loop *loop = l->daemon->loops[s->loop];
    struct why_known known = {.pieces = l->pieces, .place = s->place};
    struct late_bin bin;

    for (unsigned n = 0; n < BINS_A_LOOK && next_late(l, s, stream->line, &bin); n++) {
        if (n == 0) {
            look_at_steal(l, STEAL_NS / 10);
            take_spans(l, loop, &known);
            take_samples(l, &l->loops[s->loop], &known);
            take_names(l, &l->loops[s->loop], loop->n_streams, &known);
        }
        why_explain(&l->found, &bin, &known);
        add_steal(l, &l->found);
        keep(l, s, &l->found, s->n_read, 0);
    }
}

/* ---- the thread ---- */

static void turn(struct lateness *l, uint64_t slept_ns)
{
    look(l, slept_ns);
    look_at_steal(l, STEAL_NS);
    for (size_t i = 0; i < l->daemon->n_streams; i++)
        explain(l, &l->streams[i], l->daemon->streams[i]);
}

static void *run(void *ctx)
{
    struct lateness *l = ctx;

    l->own_fd = sched_open((int)gettid());
    l->own_was_read = sched_read(l->own_fd, &l->own);
    l->own = (struct sched_times){0}; /* its first look is at its time since its start */
    while (!atomic_load_explicit(&l->ends, memory_order_relaxed)) {
        uint64_t now_ns = clock_now_ns();
        const struct timespec due = clock_timespec(now_ns + PERIOD_NS);

        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        turn(l, PERIOD_NS);
    }
    turn(l, 0);
    if (l->own_fd >= 0) close(l->own_fd);
    return NULL;
}

/* ---- what was found ---- */

void lateness_read(struct lateness *l, size_t i, struct lateness_seen *out)
{
    const struct of_stream *s = &l->streams[i];
    uint64_t first;

    out->n_late = line_n_late(l->daemon->streams[i]->line);
    pthread_mutex_lock(&l->mutex);
    out->n_told = s->n_told;
    out->n_lost = s->n_lost;
    out->n = s->n_kept < LATENESS_KEPT ? (size_t)s->n_kept : LATENESS_KEPT;
    first = s->n_kept - out->n;
    for (size_t k = 0; k < out->n; k++) out->bins[k] = s->kept[(first + k) % LATENESS_KEPT];
    pthread_mutex_unlock(&l->mutex);
}

bool lateness_has_told(struct lateness *l, size_t i, uint64_t n_late)
{
    bool has;

    pthread_mutex_lock(&l->mutex);
    has = l->streams[i].n_told >= n_late;
    pthread_mutex_unlock(&l->mutex);
    return has;
}

/* false: it is not there yet, or no longer. */
static bool next_kept(struct lateness *l, struct of_stream *s, struct why_bin *out)
{
    bool is_there;

    pthread_mutex_lock(&l->mutex);
    if (s->n_kept > LATENESS_KEPT && s->n_recorded < s->n_kept - LATENESS_KEPT)
        s->n_recorded = s->n_kept - LATENESS_KEPT;
    is_there = s->n_recorded < s->n_kept;
    if (is_there) *out = s->kept[s->n_recorded++ % LATENESS_KEPT];
    pthread_mutex_unlock(&l->mutex);
    return is_there;
}

void lateness_record(struct lateness *l)
{
    struct why_bin bin;

    for (size_t i = 0; i < l->daemon->n_streams; i++)
        while (next_kept(l, &l->streams[i], &bin))
            recording_tell_late(&l->daemon->streams[i]->recording, &bin);
}

/* ---- life ---- */

static void free_lateness(struct lateness *l)
{
    for (size_t i = 0; l->loops && i < l->daemon->n_loops; i++) {
        if (l->loops[i].names && l->loops[i].fd >= 0) close(l->loops[i].fd);
        free(l->loops[i].names);
    }
    free(l->loops);
    free(l->streams);
    free(l->spans);
    free(l->names);
    free(l->pieces);
    free(l->line_of_samples);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

static void open_loop(struct lateness *l, size_t i, struct notes *notes)
{
    const struct data_loop *loop = l->daemon->loops[i];

    l->loops[i].fd = sched_open(loop->thread_id);
    for (size_t k = 0; k < loop->n_streams; k++) {
        struct of_stream *s = &l->streams[loop->streams[k]->number];

        s->loop = i;
        s->place = k;
        s->n_read = s->n_told = loop->streams[k]->n_late_read;
        snprintf(l->loops[i].names[k], WHY_NAME_BYTES, "%s", loop->streams[k]->conf->name);
    }
    l->loops[i].was_read = sched_read(l->loops[i].fd, &l->loops[i].times);
    if (i == 0 && !l->loops[i].was_read)
        notes_add(notes, "the kernel does not tell how long threads wait for a processor (it was "
                         "built without schedstats): latentctl why cannot either");
}

static bool has_names(struct lateness *l)
{
    bool has = true;

    for (size_t i = 0; i < l->daemon->n_loops; i++) {
        l->loops[i].fd = -1;
        l->loops[i].names = calloc(l->daemon->loops[i]->n_streams, WHY_NAME_BYTES);
        has &= l->loops[i].names != NULL;
    }
    return has;
}

static struct lateness *new_lateness(struct daemon *d)
{
    struct lateness *l = calloc(1, sizeof *l);

    if (!l) return NULL;
    l->daemon = d;
    pthread_mutex_init(&l->mutex, NULL);
    l->loops = calloc(d->n_loops, sizeof *l->loops);
    l->streams = calloc(d->n_streams, sizeof *l->streams);
    l->spans = malloc(WHY_SPANS * sizeof *l->spans);
    l->names = calloc(d->n_streams, sizeof *l->names);
    l->pieces = malloc(WHY_PIECES * sizeof *l->pieces);
    l->line_of_samples = malloc(SAMPLES * sizeof *l->line_of_samples);
    if (l->loops && l->streams && l->spans && l->names && l->pieces && l->line_of_samples &&
        has_names(l))
        return l;
    free_lateness(l);
    return NULL;
}

int lateness_open(struct lateness **out, struct daemon *d, struct latent_error *err)
{
    const struct thread_wish wish = {.cpu = THREAD_ANY_CPU};
    struct lateness *l = new_lateness(d);
    int status;

    *out = NULL;
    if (!l) return error_text(err, LATENT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < d->n_loops; i++) open_loop(l, i, &d->notes);
    l->t_last_ns = clock_now_ns();
    status = thread_start(&l->thread, THREAD_NAME, &wish, run, l);
    if (status) {
        free_lateness(l);
        return error_text(err, LATENT_E_IO, "%s: no thread: %s", THREAD_NAME, strerror(status));
    }
    *out = l;
    return 0;
}

void lateness_close(struct lateness *l)
{
    if (!l) return;
    atomic_store_explicit(&l->ends, true, memory_order_relaxed);
    pthread_join(l->thread, NULL);
    lateness_record(l);
    for (size_t i = 0; i < l->daemon->n_streams; i++)
        l->daemon->streams[i]->n_late_read = l->streams[i].n_read;
    free_lateness(l);
}
