/* Live simulation. Every trial of the recipe's length opens with trial_start and closes with
 * trial_end, as a decoder trained on the recipe's data set expects. The next trial is computed
 * before the wait for its first bin. */
#include "latent-sim/live.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/channels.h"
#include "base/text.h"
#include "command/stop.h"
#include "source/attach.h"
#include "wire.h"

/* Where the truth goes; socket NULL: nowhere. */
struct truth {
    void *context, *socket;
    char topic[WIRE_TOPIC_BYTES];
    uint8_t *message;
    size_t capacity;
    float *rates; /* Hz [n_channels] */
};

struct live {
    const struct world *world;
    const struct trial_shape *shape;
    const struct live_options *options;
    struct rng rng;
    struct trial trial;
    struct source *source;
    struct truth truth;
    float *counts;         /* [n_channels] */
    uint8_t *dead, *noisy; /* sets of channels */
    uint64_t seq, n_spikes;
    struct latent_error *err;
};

static int truth_open(struct live *live)
{
    const struct source_options *o = &live->options->source;
    const struct trial_shape *s = live->shape;
    struct truth *t = &live->truth;
    size_t n_values = (size_t)s->n_latents + s->n_channels + s->n_readout;
    int linger_ms = 200;
    if (!live->options->truth) return 0;

    snprintf(t->topic, sizeof t->topic, "%s/truth", o->stream);
    t->capacity = wire_frame_bound(n_values);
    t->message = malloc(t->capacity);
    t->rates = calloc(s->n_channels, sizeof(float));
    t->context = zmq_ctx_new();
    t->socket = t->context ? zmq_socket(t->context, ZMQ_PUB) : NULL;
    if (!t->message || !t->rates || !t->socket)
        return error_text(live->err, LATENT_E_NOMEM, "out of memory");
    zmq_setsockopt(t->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    return source_attach(t->socket, o->program, t->topic, live->options->truth, 1, live->err);
}

static void truth_close(struct truth *t)
{
    if (t->socket) zmq_close(t->socket);
    if (t->context) zmq_ctx_term(t->context);
    free(t->message);
    free(t->rates);
}

/* A subscriber that is slow or absent loses truths; the bins never wait for it. */
static int truth_send(struct live *live, uint32_t bin)
{
    const struct trial_shape *s = live->shape;
    struct truth *t = &live->truth;
    const float *counts = live->trial.counts + (size_t)bin * s->n_channels;
    if (!t->socket) return 0;

    for (uint32_t i = 0; i < s->n_channels; i++)
        t->rates[i] = (float)((double)counts[i] * 1e6 / s->bin_width_us);
    struct wire_truth truth = {
        .epoch = source_status(live->source)->epoch,
        .seq = live->seq,
        .t_source_ns = source_bin_end_ns(live->source, live->seq),
        .n_latents = s->n_latents,
        .n_rates = s->n_channels,
        .n_readout = s->n_readout,
        .latents = live->trial.latents + (size_t)bin * s->n_latents,
        .rates = t->rates,
        .readout = live->trial.readout + (size_t)bin * s->n_readout,
    };
    size_t n = wire_pack_truth(&truth, t->message, t->capacity);
    if (n == 0) return error_text(live->err, LATENT_E_NOMEM, "truth does not fit");
    if (zmq_send(t->socket, t->topic, strlen(t->topic), ZMQ_SNDMORE) < 0 ||
        zmq_send(t->socket, t->message, n, 0) < 0)
        return error_text(live->err, LATENT_E_IO, "cannot send the truth: %s", zmq_strerror(errno));
    return 0;
}

/* ---- faults ---- */

int live_check_faults(const struct live_faults *faults, uint32_t n_channels,
                      struct latent_error *err)
{
    const char *const lists[] = {faults->dead, faults->noisy};
    uint8_t *set = calloc(channels_bytes(n_channels), 1);
    char why[120];
    int status = 0;
    if (!set) return error_text(err, LATENT_E_NOMEM, "out of memory");

    for (size_t i = 0; i < 2 && !status; i++)
        if (lists[i] && !channels_read(lists[i], true, set, n_channels, why, sizeof why))
            status = error_text(err, LATENT_E_CONFIG, "%s: %s", i ? "--noisy" : "--dead", why);
    free(set);
    return status;
}

static int faults_open(struct live *live)
{
    const struct live_faults *f = &live->options->faults;
    uint32_t n = live->shape->n_channels;
    char why[120];
    live->dead = calloc(channels_bytes(n), 1);
    live->noisy = calloc(channels_bytes(n), 1);
    if (!live->dead || !live->noisy) return error_text(live->err, LATENT_E_NOMEM, "out of memory");
    if (f->dead) channels_read(f->dead, true, live->dead, n, why, sizeof why);
    if (f->noisy) channels_read(f->noisy, true, live->noisy, n, why, sizeof why);
    return 0;
}

static int faults_are_on(const struct live *live)
{
    const struct live_faults *f = &live->options->faults;
    double now_s = (double)live->seq * live->shape->bin_width_us * 1e-6;
    return now_s >= f->from_s && (f->seconds <= 0.0 || now_s < f->from_s + f->seconds);
}

/* What a channel is to give, of what its neuron does. */
static double faults_apply(const struct live *live, uint32_t channel, double expected)
{
    if (channels_has(live->dead, channel)) return 0.0;
    if (!channels_has(live->noisy, channel)) return expected;
    return LIVE_NOISE * (expected > 1.0 ? expected : 1.0);
}

/* ---- bins ---- */

static int bin_send(struct live *live, uint32_t bin)
{
    int is_faulty = faults_are_on(live);
    const struct trial_shape *s = live->shape;
    const float *expected = live->trial.counts + (size_t)bin * s->n_channels;
    uint32_t marks = 0;
    if (bin == 0) marks |= LATENT_MARK_TRIAL_START;
    if (bin == s->n_bins - 1) marks |= LATENT_MARK_TRIAL_END;
    for (uint32_t i = 0; i < s->n_channels; i++) {
        double mean = is_faulty ? faults_apply(live, i, (double)expected[i]) : (double)expected[i];
        uint32_t count = rng_poisson(&live->rng, mean);
        live->counts[i] = (float)count;
        live->n_spikes += count;
    }
    int status = source_put(live->source, live->counts, marks, live->err);
    if (!status) status = truth_send(live, bin);
    live->seq++;
    return status;
}

static int trials_send(struct live *live)
{
    uint64_t n_bins = live->options->n_bins;
    int status = 0;
    while (!status && (n_bins == 0 || live->seq < n_bins)) {
        uint32_t bin = (uint32_t)(live->seq % live->shape->n_bins);
        if (bin == 0) world_trial_make(live->world, &live->rng, TRIAL_ANY_CONDITION, &live->trial);
        status = bin_send(live, bin);
    }
    return status ? status : source_flush(live->source, live->err);
}

static void statistics_print(const struct live *live)
{
    const struct source_status *s = source_status(live->source);
    const struct source_options *o = &live->options->source;
    double seconds = (double)s->n_bins * live->shape->bin_width_us * 1e-6;
    printf("%s: %s: %llu bins (%.3f s), %llu spikes", o->program, o->stream,
           (unsigned long long)s->n_bins, seconds, (unsigned long long)live->n_spikes);
    if (!o->full_speed)
        printf(", %llu late, at most %.3f ms behind", (unsigned long long)s->n_late,
               (double)s->worst_ns * 1e-6);
    printf("\n");
    fflush(stdout); /* it may stay a while */
}

static int live_open(struct live *live)
{
    struct source_options source = live->options->source;
    source.n_channels = live->shape->n_channels;
    source.bin_width_us = live->shape->bin_width_us;
    source.input = "counts";
    rng_init(&live->rng, live->options->seed, TRIAL_STREAM_LIVE);
    live->counts = calloc(live->shape->n_channels, sizeof(float));
    if (!live->counts || trial_new(&live->trial, live->shape))
        return error_text(live->err, LATENT_E_NOMEM, "out of memory");
    int status = faults_open(live);
    if (!status) status = truth_open(live);
    if (!status) status = source_open(&live->source, &source, live->err);
    return status;
}

int live_run(const struct world *world, const struct live_options *options,
             struct latent_error *err)
{
    struct live live = {
        .world = world, .shape = world_shape(world), .options = options, .err = err};
    stop_install();
    int status = live_open(&live);
    if (!status) {
        status = trials_send(&live);
        statistics_print(&live);
        if (!status && options->source.output) status = source_check_taken(live.source, err);
    }
    source_close(live.source);
    truth_close(&live.truth);
    trial_free(&live.trial);
    free(live.counts);
    free(live.dead);
    free(live.noisy);
    return status == SOURCE_STOPPED ? 0 : status;
}
