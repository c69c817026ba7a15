/* From the end of a bin to its frame, through a real latentd: sockets, threads and all. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "certify/child.h"
#include "certify/measure.h"
#include "command/stop.h"
#include "net/curve.h"
#include "net/message.h"
#include "source/source.h"

#define POLL_MS 100
#define LINK_NS UINT64_C(10000000000) /* until a first Info has come */
#define DRAIN_NS UINT64_C(1000000000) /* for the last frames */

/* One stream: a source with a thread of its own, and what has come back. */
struct flow {
    const struct subject *subject;
    struct source_options options;
    struct series *series;
    bool *seen; /* [n_bins] */
    size_t n_bins, n_seen;
    bool is_linked;
    _Atomic uint64_t epoch; /* of its source; 0: not started */
    atomic_bool is_sent;
    uint64_t worst_sent_ns;
    struct latent_error err;
    int status;
    pthread_t thread;
};

struct end {
    struct child child;
    struct flow *flows; /* [n] */
    size_t n, n_started;
    void *context, *socket;
    struct wire_arena arena;
};

/* ---- sources ---- */

static void *source_run(void *ctx)
{
    struct flow *w = ctx;
    float *counts = memory_need(calloc(w->options.n_channels, sizeof *counts));
    struct source *source = NULL;

    w->status = source_open(&source, &w->options, &w->err);
    if (w->status == 0) atomic_store(&w->epoch, source_status(source)->epoch);
    for (size_t i = 0; w->status == 0 && i < w->n_bins; i++) {
        counts[i % w->options.n_channels] = (float)(i % 3);
        w->status = source_put(source, counts, 0, &w->err);
    }
    if (source) w->worst_sent_ns = source_status(source)->worst_ns;
    atomic_store(&w->is_sent, true);
    source_close(source);
    free(counts);
    return NULL;
}

static int sources_start(struct end *e, struct latent_error *err)
{
    const struct thread_wish wish = {.cpu = THREAD_ANY_CPU, .stack_bytes = 1u << 20};

    for (size_t i = 0; i < e->n; i++, e->n_started++)
        if (thread_start(&e->flows[i].thread, "certify-source", &wish, source_run, &e->flows[i]))
            return error_text(err, LATENT_E_IO, "no thread for a source");
    return 0;
}

static bool all_are_sent(const struct end *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (!atomic_load(&e->flows[i].is_sent)) return false;
    return true;
}

/* ---- the consumer ---- */

static int consumer_open(struct end *e, struct latent_error *err)
{
    char topic[WIRE_TOPIC_BYTES];
    int none = 0, status;

    e->arena.size = WIRE_ARENA_BASE + 4 * WIRE_MAX_BYTES;
    e->arena.bytes = memory_need(aligned_alloc(64, e->arena.size));
    e->context = memory_need(zmq_ctx_new());
    e->socket = zmq_socket(e->context, ZMQ_SUB);
    if (!e->socket)
        return error_text(err, LATENT_E_IO, "no ZeroMQ socket: %s", zmq_strerror(errno));
    zmq_setsockopt(e->socket, ZMQ_RCVHWM, &none, sizeof none);
    if (e->child.encrypts) {
        status = curve_connect_files(e->socket, e->child.key, e->child.server_key, err);
        if (status) return status;
    }
    for (size_t i = 0; i < e->n; i++) {
        const char *name = e->flows[i].subject->section->name;

        if (zmq_connect(e->socket, e->child.streams[i].output))
            return error_text(err, LATENT_E_IO, "%s: %s", e->child.streams[i].output,
                              zmq_strerror(errno));
        snprintf(topic, sizeof topic, "%s/", name);
        zmq_setsockopt(e->socket, ZMQ_SUBSCRIBE, topic, strlen(topic));
    }
    return 0;
}

static struct flow *flow_of(struct end *e, const char *topic, size_t n, const char *kind)
{
    char own[WIRE_TOPIC_BYTES];

    for (size_t i = 0; i < e->n; i++) {
        size_t n_own =
            (size_t)snprintf(own, sizeof own, "%s/%s", e->flows[i].subject->section->name, kind);

        if (n == n_own && memcmp(topic, own, n) == 0) return &e->flows[i];
    }
    return NULL;
}

/* Frames of bins that were really decoded, each once. */
static void take_frame(struct end *e, struct flow *w, const void *payload, size_t n,
                       uint64_t t_receipt_ns)
{
    struct wire_frame frame;

    if (wire_unpack_frame(&e->arena, payload, n, &frame)) return;
    if (frame.epoch != atomic_load(&w->epoch) || frame.seq >= w->n_bins || w->seen[frame.seq] ||
        frame.values.flags & (LATENT_HELD | LATENT_PREDICTED | LATENT_FILLED))
        return;
    w->seen[frame.seq] = true;
    w->n_seen++;
    series_add(w->series, t_receipt_ns > frame.t_source_ns ? t_receipt_ns - frame.t_source_ns : 0);
}

static void take_message(struct end *e)
{
    struct message m;
    uint64_t t_ns;
    struct flow *w;

    if (message_receive(&m, e->socket, 2, ZMQ_DONTWAIT)) return;
    t_ns = clock_now_ns();
    if (m.n_parts == 2) {
        const char *topic = zmq_msg_data(&m.part[0]);
        size_t n_topic = zmq_msg_size(&m.part[0]);

        w = flow_of(e, topic, n_topic, "info");
        if (w) w->is_linked = true;
        w = flow_of(e, topic, n_topic, "frame");
        if (w) take_frame(e, w, zmq_msg_data(&m.part[1]), zmq_msg_size(&m.part[1]), t_ns);
    }
    message_close(&m);
}

/* Takes what comes for at most ns, until `is_over`; false when time ran out, or on a signal. */
static bool take_until(struct end *e, bool (*is_over)(const struct end *e), uint64_t ns)
{
    uint64_t end_ns = clock_now_ns() + ns;

    while (!is_over(e)) {
        zmq_pollitem_t item = {e->socket, 0, ZMQ_POLLIN, 0};

        if (clock_now_ns() >= end_ns || stop_requested()) return false;
        if (zmq_poll(&item, 1, POLL_MS) > 0) take_message(e);
    }
    return true;
}

static bool all_are_linked(const struct end *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (!e->flows[i].is_linked) return false;
    return true;
}

static bool all_are_seen(const struct end *e)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->flows[i].n_seen < e->flows[i].n_bins) return false;
    return true;
}

/* ---- together ---- */

static int flow_open(struct end *e, size_t i, const struct subject *subject, double seconds,
                     struct findings *f, struct latent_error *err)
{
    const struct conf_stream_section *section = subject->section;
    struct flow *w = &e->flows[i];

    w->subject = subject;
    w->n_bins = (size_t)(seconds * 1e6 / subject->info.bin_width_us) + 1;
    w->seen = memory_need(calloc(w->n_bins, sizeof *w->seen));
    w->series = findings_series(f, CERTIFY_END, w->n_bins, section->values.budget_ns,
                                "%s: end of bin to frame, %.3s%s", section->name,
                                section->values.input, e->child.encrypts ? ", encrypted" : "");
    w->options =
        (struct source_options){.program = "latentctl certify",
                                .stream = section->name,
                                .endpoint = e->child.streams[i].input,
                                .socket = section->values.input_socket == CONF_SUB ? "pub" : "push",
                                .attach = "connect",
                                .key = e->child.encrypts ? e->child.key : NULL,
                                .server_key = e->child.encrypts ? e->child.server_key : NULL,
                                .n_channels = subject->info.n_channels,
                                .bin_width_us = subject->info.bin_width_us,
                                .batch = 1,
                                .after_subscriber = true};
    return w->series ? 0 : error_text(err, LATENT_E_NOMEM, "out of memory");
}

static void add_source(const struct flow *w, struct findings *f)
{
    struct finding row = {CERTIFY_END,
                          VERDICT_OK,
                          "source's own delay",
                          "far below the budget",
                          "part of what was measured: our source on this machine",
                          ""};

    findings_add(f, &row, "%s: at most %.2f ms", w->subject->section->name,
                 (double)w->worst_sent_ns / 1e6);
}

static int flows_judge(struct end *e, struct findings *f, struct latent_error *err)
{
    for (size_t i = 0; i < e->n_started; i++) {
        struct flow *w = &e->flows[i];

        pthread_join(w->thread, NULL);
        if (w->status < 0) return error_text(err, w->status, "%s", w->err.text);
        w->series->n_lost = w->n_bins - w->n_seen;
        series_sort(w->series);
        add_source(w, f);
    }
    return stop_requested() ? error_text(err, LATENT_E_IO, "stopped by a signal") : 0;
}

static int run(struct end *e, double seconds, struct findings *f, struct latent_error *err)
{
    int status = consumer_open(e, err), judged;

    if (status) return status;
    if (!take_until(e, all_are_linked, LINK_NS))
        return error_text(err, LATENT_E_IO,
                          "latentd started, and no info of a stream came in 10 s");
    status = sources_start(e, err);
    if (status == 0) take_until(e, all_are_sent, (uint64_t)((seconds + 60) * 1e9));
    take_until(e, all_are_seen, DRAIN_NS);
    judged = flows_judge(e, f, err);
    return status ? status : judged;
}

static void end_free(struct end *e)
{
    if (e->socket) zmq_close(e->socket);
    if (e->context) zmq_ctx_term(e->context);
    child_stop(&e->child);
    for (size_t i = 0; i < e->n; i++) free(e->flows[i].seen);
    free(e->flows);
    free(e->arena.bytes);
}

int end_measure(const struct conf *c, const struct subject *subjects, double seconds,
                struct findings *f, struct latent_error *err)
{
    struct end e = {.n = c->n_streams};
    int status = child_start(&e.child, c->path, err);

    e.flows = memory_need(calloc(e.n, sizeof *e.flows));
    for (size_t i = 0; status == 0 && i < e.n; i++)
        status = flow_open(&e, i, &subjects[i], seconds, f, err);
    if (status == 0) status = run(&e, seconds, f, err);
    end_free(&e);
    return status;
}
