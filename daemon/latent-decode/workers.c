/* One decoder for each thread. Files are touched by one thread at a time, because the HDF5 library
 * may be built without locks of its own. */
#include "latent-decode/workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/text.h"
#include "base/thread.h"
#include "command/progress.h"
#include "command/stop.h"

#define STACK_BYTES (8u << 20) /* for whatever BLAS puts there */

struct workers {
    const struct workers_job *job;
    const struct reader_shape *shape;
    struct latent_info info;
    pthread_mutex_t lock; /* of all that follows, the reader and the results */
    size_t next_trial, n_bins_done;
    size_t failed_trial; /* SIZE_MAX: none */
    struct latent_error err;
    struct progress progress;
};

struct worker {
    struct workers *shared;
    latent_decoder *decoder, *other; /* other: NULL, or in the precision against */
    struct results_rows *rows, *other_rows;
    float *counts;  /* [n_slab_bins][n_channels] */
    float *clipped; /* [n_channels] */
    struct latent_error err;
    pthread_t thread;
    bool started;
};

size_t workers_default(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    return (size_t)CPU_COUNT(&set);
}

/* ---- one trial ---- */

static int core_fail(struct worker *w, int status, size_t trial, size_t bin)
{
    return error_text(&w->err, status, "trial %zu, bin %zu: %s", trial, bin,
                      latent_strerror(status));
}

/* One slab, bin by bin. The marks are those that latent-replay sends. */
static int slab_step(struct worker *w, latent_decoder *decoder, struct results_rows *rows,
                     size_t trial, size_t first, size_t n)
{
    const struct reader_shape *s = w->shared->shape;
    struct latent_frame frame;
    for (size_t i = 0; i < n; i++) {
        uint64_t seq = trial * s->n_bins + first + i;
        struct latent_bin bin = {
            .seq = seq,
            .t_source_ns = (seq + 1) * s->bin_width_us * 1000,
            .marks = first + i == 0 ? LATENT_MARK_TRIAL_START : 0,
            .n_channels = (uint32_t)s->n_channels,
            .counts = w->counts + i * s->n_channels,
        };
        int status = latent_decoder_step(decoder, &bin, &frame);
        if (status) return core_fail(w, status, trial, first + i);
        results_row_set(rows, i, &frame);
    }
    return 0;
}

/* One whole trial in an offline mode: of flags it has what its input says. */
static int trial_step(struct worker *w, latent_decoder *decoder, struct results_rows *rows,
                      size_t trial)
{
    size_t n_channels = w->shared->shape->n_channels;
    int status =
        latent_decoder_trial(decoder, w->counts, w->shared->shape->n_bins, results_latents(rows),
                             results_rates(rows), results_readout(rows));
    for (size_t i = 0; !status && i < w->shared->shape->n_bins; i++)
        results_flags(rows)[i] =
            latent_input_clip(&w->shared->info, w->clipped, w->counts + i * n_channels);
    return status ? core_fail(w, status, trial, 0) : 0;
}

static int slab_read(struct worker *w, size_t trial, size_t first, size_t n)
{
    struct workers *c = w->shared;
    pthread_mutex_lock(&c->lock);
    int status = reader_rows(c->job->reader, trial, first, n, w->counts, &w->err);
    pthread_mutex_unlock(&c->lock);
    return status;
}

static int slab_write(struct worker *w, size_t trial, size_t first, size_t n)
{
    struct workers *c = w->shared;
    pthread_mutex_lock(&c->lock);
    int status = results_rows_write(c->job->results, w->rows, trial, first, n, &w->err);
    c->n_bins_done += n;
    progress_update(&c->progress, c->n_bins_done);
    pthread_mutex_unlock(&c->lock);
    return status;
}

static int slab_run(struct worker *w, latent_decoder *decoder, struct results_rows *rows,
                    size_t trial, size_t first, size_t n)
{
    return latent_decoder_mode(decoder)->offline ? trial_step(w, decoder, rows, trial)
                                                 : slab_step(w, decoder, rows, trial, first, n);
}

static void slab_compare(struct worker *w, size_t n)
{
    struct workers *c = w->shared;
    struct compared found = {results_rates(w->rows), results_readout(w->rows)};
    struct compared against = {results_rates(w->other_rows), results_readout(w->other_rows)};
    pthread_mutex_lock(&c->lock);
    comparison_add(c->job->comparison, n, w->counts, found, against);
    pthread_mutex_unlock(&c->lock);
}

static int slab_decode(struct worker *w, size_t trial, size_t first, size_t n)
{
    int status = slab_read(w, trial, first, n);
    if (status) return status;
    status = slab_run(w, w->decoder, w->rows, trial, first, n);
    if (!status && w->other) {
        status = slab_run(w, w->other, w->other_rows, trial, first, n);
        if (!status) slab_compare(w, n);
    }
    if (!status) status = slab_write(w, trial, first, n);
    if (!status && stop_requested())
        status = error_text(&w->err, LATENT_E_IO, "stopped: nothing was written");
    return status;
}

static int trial_decode(struct worker *w, size_t trial)
{
    size_t n_bins = w->shared->shape->n_bins, n_slab = w->shared->job->n_slab_bins;
    int status = 0;
    for (size_t first = 0; !status && first < n_bins; first += n_slab)
        status = slab_decode(w, trial, first, n_bins - first < n_slab ? n_bins - first : n_slab);
    return status;
}

/* ---- many trials ---- */

/* The next trial, unless there is none left or one has failed: those before it are under way
 * already, so the failure that is told is the first. */
static bool trial_take(struct workers *c, size_t *trial)
{
    pthread_mutex_lock(&c->lock);
    bool found = c->next_trial < c->shape->n_trials && c->failed_trial == SIZE_MAX;
    if (found) *trial = c->next_trial++;
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void trial_fail(struct workers *c, size_t trial, const struct latent_error *err)
{
    pthread_mutex_lock(&c->lock);
    if (trial < c->failed_trial) {
        c->failed_trial = trial;
        c->err = *err;
    }
    pthread_mutex_unlock(&c->lock);
}

static void *worker_run(void *argument)
{
    struct worker *w = argument;
    size_t trial = 0;
    while (trial_take(w->shared, &trial))
        if (trial_decode(w, trial)) trial_fail(w->shared, trial, &w->err);
    return NULL;
}

static int worker_init(struct worker *w, struct workers *c)
{
    w->shared = c;
    int status = latent_decoder_new(&w->decoder, c->job->model, &c->job->options, &w->err);
    if (status) return status;
    if (c->job->against) {
        struct latent_options options = c->job->options;
        options.precision = c->job->against;
        status = latent_decoder_new(&w->other, c->job->model, &options, &w->err);
        if (status) return status;
        w->other_rows = results_rows_new(c->job->results, c->job->n_slab_bins);
    }
    w->rows = results_rows_new(c->job->results, c->job->n_slab_bins);
    w->counts = malloc(c->job->n_slab_bins * c->shape->n_channels * sizeof *w->counts);
    w->clipped = malloc(c->shape->n_channels * sizeof *w->clipped);
    if (w->rows && w->counts && w->clipped && (!w->other || w->other_rows)) return 0;
    return error_text(&w->err, LATENT_E_NOMEM, "out of memory");
}

static void worker_clear(struct worker *w)
{
    latent_decoder_free(w->decoder);
    latent_decoder_free(w->other);
    results_rows_free(w->rows);
    results_rows_free(w->other_rows);
    free(w->counts);
    free(w->clipped);
}

/* The caller's thread is the first worker; a thread that cannot be had is done without. */
static void threads_run(struct worker *workers, size_t n)
{
    const struct thread_wish wish = {.cpu = THREAD_ANY_CPU, .stack_bytes = STACK_BYTES};
    for (size_t i = 1; i < n; i++)
        workers[i].started =
            thread_start(&workers[i].thread, "decode", &wish, worker_run, &workers[i]) == 0;
    worker_run(&workers[0]);
    for (size_t i = 1; i < n; i++)
        if (workers[i].started) pthread_join(workers[i].thread, NULL);
}

static int trials_decode(struct workers *c, struct worker *workers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int status = worker_init(&workers[i], c);
        if (!status) continue;
        c->err = workers[i].err;
        return status;
    }
    progress_start(&c->progress, "decoding", c->shape->n_trials * c->shape->n_bins);
    threads_run(workers, n);
    progress_end(&c->progress);
    return c->failed_trial == SIZE_MAX ? 0 : c->err.status;
}

/* What one trial teaches the normalisation, the next is decoded with. */
static bool learns(const struct latent_info *info)
{
    return info->normalise == LATENT_NORMALISE_EWMA ||
           info->normalise == LATENT_NORMALISE_WINDOW_TRIALS;
}

int workers_run(const struct workers_job *job, struct latent_error *err)
{
    struct workers c = {.job = job,
                        .shape = reader_shape(job->reader),
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .failed_trial = SIZE_MAX};
    latent_model_info(job->model, &c.info);
    size_t n = job->n_threads < c.shape->n_trials ? job->n_threads : c.shape->n_trials;
    if (n > 1 && learns(&c.info)) n = 1;
    struct worker *workers = calloc(n, sizeof *workers);
    if (!workers) return error_text(err, LATENT_E_NOMEM, "out of memory");
    int status = trials_decode(&c, workers, n);
    if (status) *err = c.err;
    for (size_t i = 0; i < n; i++) worker_clear(&workers[i]);
    free(workers);
    pthread_mutex_destroy(&c.lock);
    return status;
}
