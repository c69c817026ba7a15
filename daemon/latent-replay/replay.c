/* A recording as a stream. Every trial opens with trial_start; a recording without trials counts as
 * one, and its later rounds under --loop go on without a mark unless asked. */
#include "latent-replay/replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "command/stop.h"

#define SLAB_VALUES (1u << 18) /* counts read at once */

enum { REPLAY_OVER = 2 }; /* --seconds was reached; beside SOURCE_STOPPED */

struct replay {
    struct reader *reader;
    const struct reader_shape *shape;
    const struct replay_options *options;
    struct source *source;
    float *counts; /* [n_slab_bins][n_channels] */
    size_t n_slab_bins;
    uint64_t round, n_bins; /* begun, put */
    uint64_t most_bins;     /* 0: no limit */
    struct latent_error *err;
};

static uint32_t marks_of(const struct replay *r, size_t bin)
{
    int marked = r->shape->has_trials || r->options->mark_loop || r->round == 0;
    return bin == 0 && marked ? LATENT_MARK_TRIAL_START : 0;
}

static int slab_send(struct replay *r, size_t trial, size_t first, size_t n)
{
    int status = reader_rows(r->reader, trial, first, n, r->counts, r->err);
    for (size_t i = 0; !status && i < n; i++) {
        if (r->most_bins && r->n_bins == r->most_bins) return REPLAY_OVER;
        status = source_put(r->source, r->counts + i * r->shape->n_channels, marks_of(r, first + i),
                            r->err);
        r->n_bins++;
    }
    return status;
}

static int round_send(struct replay *r)
{
    const struct reader_shape *s = r->shape;
    int status = 0;
    for (size_t trial = 0; !status && trial < s->n_trials; trial++)
        for (size_t first = 0; !status && first < s->n_bins; first += r->n_slab_bins) {
            size_t left = s->n_bins - first;
            status = slab_send(r, trial, first, left < r->n_slab_bins ? left : r->n_slab_bins);
        }
    return status;
}

static int rounds_send(struct replay *r)
{
    int status = round_send(r);
    while (!status && r->options->loop) {
        r->round++;
        status = round_send(r);
    }
    if (status && status != REPLAY_OVER) return status;
    return source_flush(r->source, r->err);
}

static void statistics_print(const struct replay *r)
{
    const struct source_status *s = source_status(r->source);
    const struct source_options *o = &r->options->source;
    printf("%s: %s: %llu bins sent, %llu rounds", o->program, o->stream,
           (unsigned long long)s->n_bins, (unsigned long long)r->round + 1);
    if (!o->full_speed)
        printf(", %llu late, at most %.3f ms behind", (unsigned long long)s->n_late,
               (double)s->worst_ns * 1e-6);
    printf("\n");
    fflush(stdout); /* it may stay a while */
}

static int replay_open(struct replay *r)
{
    struct source_options source = r->options->source;
    source.n_channels = (uint32_t)r->shape->n_channels;
    source.bin_width_us = r->shape->bin_width_us;
    source.input = latent_input_name(r->shape->input);
    r->n_slab_bins = SLAB_VALUES / r->shape->n_channels + 1;
    if (r->n_slab_bins > r->shape->n_bins) r->n_slab_bins = r->shape->n_bins;
    r->counts = malloc(r->n_slab_bins * r->shape->n_channels * sizeof(float));
    if (!r->counts) return error_text(r->err, LATENT_E_NOMEM, "out of memory");
    double n_bins = r->options->seconds * 1e6 / r->shape->bin_width_us;
    if (n_bins > 0.0) r->most_bins = n_bins > 1.0 ? (uint64_t)llround(n_bins) : 1;
    return source_open(&r->source, &source, r->err);
}

int replay_run(struct reader *reader, const struct replay_options *options,
               struct latent_error *err)
{
    struct replay r = {
        .reader = reader, .shape = reader_shape(reader), .options = options, .err = err};
    stop_install();
    int status = replay_open(&r);
    if (!status) {
        status = rounds_send(&r);
        statistics_print(&r);
        if (status >= 0 && !stop_requested()) status = source_check_taken(r.source, err);
    }
    source_close(r.source);
    free(r.counts);
    return status == SOURCE_STOPPED ? 0 : status;
}
