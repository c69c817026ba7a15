/* One SUB: first to every topic, so that a wrong name finds the right ones; then to the frames. */
#include "source/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/text.h"
#include "command/stop.h"
#include "latent.pb-c.h"
#include "net/curve.h"
#include "net/message.h"
#include "source/attach.h"
#include "wire.h"

#define WAIT_NS 2000000000u
#define POLL_MS 100
#define MAX_LOOKED 1000 /* messages at one look */
#define NAMES_BYTES 200

struct target {
    const struct source_options *options;
    void *socket;
    char info_topic[WIRE_TOPIC_BYTES], frame_topic[WIRE_TOPIC_BYTES];
    char others[NAMES_BYTES]; /* streams that are there instead: ", arm, leg" */
    bool is_known, has_taken;
    struct wire_arena arena;
};

/* ---- what it takes ---- */

static const char *input_of(const Latent__V1__Info *info)
{
    return info->input && info->input[0] ? info->input : NULL;
}

static int compare(const struct target *t, const Latent__V1__Info *info, struct latent_error *err)
{
    const struct source_options *o = t->options;
    const char *input = input_of(info);

    if (info->n_channels != o->n_channels)
        return error_text(err, LATENT_E_SHAPE,
                          "stream %s takes bins of %u channels, these have %u: send those that its "
                          "model was trained on",
                          o->stream, info->n_channels, o->n_channels);
    if (info->bin_width_us != o->bin_width_us)
        return error_text(err, LATENT_E_SHAPE,
                          "stream %s takes bins of %g ms, these have %g ms: bin anew, or choose "
                          "another model",
                          o->stream, info->bin_width_us / 1e3, o->bin_width_us / 1e3);
    if (input && o->input && strcmp(input, "counts") == 0 && strcmp(o->input, "counts") != 0)
        return error_text(err, LATENT_E_VALUE,
                          "stream %s takes counts, these are %s values: send counts, or choose a "
                          "model with input real",
                          o->stream, o->input);
    return 0;
}

/* Of a topic "leg/info": leg. */
static void keep_other(struct target *t, struct message *m)
{
    const char *topic = zmq_msg_data(&m->part[0]);
    size_t n = zmq_msg_size(&m->part[0]), used = strlen(t->others);
    char name[WIRE_TOPIC_BYTES];

    if (n <= strlen("/info") || n >= sizeof name ||
        memcmp(topic + n - strlen("/info"), "/info", strlen("/info")) != 0)
        return;
    snprintf(name, sizeof name, ", %.*s", (int)(n - strlen("/info")), topic);
    if (!strstr(t->others, name)) snprintf(t->others + used, sizeof t->others - used, "%s", name);
}

/* 0: nothing of interest, or it fits. */
static int take_info(struct target *t, struct message *m, struct latent_error *err)
{
    Latent__V1__Info *info;
    int status;

    if (m->n_parts != 2 || !message_part_is(m, 0, t->info_topic, strlen(t->info_topic))) {
        keep_other(t, m);
        return 0;
    }
    info = latent__v1__info__unpack(NULL, zmq_msg_size(&m->part[1]), zmq_msg_data(&m->part[1]));
    if (!info) return 0;
    t->is_known = true;
    status = compare(t, info, err);
    latent__v1__info__free_unpacked(info, NULL);
    return status;
}

static int wait_info(struct target *t, struct latent_error *err)
{
    uint64_t end_ns = clock_now_ns() + WAIT_NS;
    zmq_pollitem_t item = {t->socket, 0, ZMQ_POLLIN, 0};
    int status = 0;

    while (!status && !t->is_known && clock_now_ns() < end_ns && !stop_requested()) {
        struct message m;

        if (zmq_poll(&item, 1, POLL_MS) <= 0) continue;
        if (message_receive(&m, t->socket, 2, ZMQ_DONTWAIT)) continue;
        status = take_info(t, &m, err);
        message_close(&m);
    }
    if (status || t->is_known || stop_requested()) return status;
    if (t->others[0])
        return error_text(err, LATENT_E_CONFIG, "no stream %s at %s; there: %s", t->options->stream,
                          t->options->output, printable(t->others) + 2);
    fprintf(stderr, "%s: %s: nothing comes from %s: not checked whether latentd takes the bins\n",
            t->options->program, t->options->stream, t->options->output);
    return 0;
}

/* ---- what came of it ---- */

static bool is_of(struct target *t, struct message *m, uint64_t epoch)
{
    struct wire_frame frame;

    return m->n_parts == 2 && message_part_is(m, 0, t->frame_topic, strlen(t->frame_topic)) &&
           zmq_msg_size(&m->part[1]) <= WIRE_MAX_BYTES &&
           wire_unpack_frame(&t->arena, zmq_msg_data(&m->part[1]), zmq_msg_size(&m->part[1]),
                             &frame) == 0 &&
           frame.epoch == epoch;
}

bool target_look(struct target *t, uint64_t epoch)
{
    struct message m;

    for (int i = 0; !t->has_taken && i < MAX_LOOKED; i++) {
        if (message_receive(&m, t->socket, 2, ZMQ_DONTWAIT)) break;
        t->has_taken = is_of(t, &m, epoch);
        message_close(&m);
    }
    return t->has_taken;
}

int target_check_taken(struct target *t, uint64_t epoch, struct latent_error *err)
{
    uint64_t end_ns = clock_now_ns() + WAIT_NS;
    zmq_pollitem_t item = {t->socket, 0, ZMQ_POLLIN, 0};

    while (!target_look(t, epoch) && clock_now_ns() < end_ns && !stop_requested())
        zmq_poll(&item, 1, POLL_MS);
    if (t->has_taken || !t->is_known || stop_requested()) return 0;
    return error_text(err, LATENT_E_IO,
                      "latentd took none of the bins of %s: no frame of them came from %s; "
                      "latentctl status says why",
                      t->options->stream, t->options->output);
}

bool target_hears(struct target *t)
{
    struct message m;
    int n = 0;

    while (n < MAX_LOOKED && message_receive(&m, t->socket, 2, ZMQ_DONTWAIT) == 0) {
        message_close(&m);
        n++;
    }
    return n > 0;
}

/* ---- life ---- */

static int connect_target(struct target *t, void *context, struct latent_error *err)
{
    const struct source_options *o = t->options;
    int none = 0, status;

    t->arena.size = WIRE_ARENA_BASE + 4 * WIRE_MAX_BYTES;
    t->arena.bytes = aligned_alloc(16, t->arena.size);
    t->socket = zmq_socket(context, ZMQ_SUB);
    if (!t->arena.bytes || !t->socket) return error_text(err, LATENT_E_NOMEM, "out of memory");
    snprintf(t->info_topic, sizeof t->info_topic, "%s/info", o->stream);
    snprintf(t->frame_topic, sizeof t->frame_topic, "%s/frame", o->stream);
    zmq_setsockopt(t->socket, ZMQ_LINGER, &none, sizeof none);
    status = curve_connect_files(t->socket, o->key, o->server_key, err);
    if (!status) status = source_attach(t->socket, o->program, "output", o->output, 0, err);
    if (!status) zmq_setsockopt(t->socket, ZMQ_SUBSCRIBE, "", 0);
    return status;
}

int target_open(struct target **out, void *context, const struct source_options *options,
                struct latent_error *err)
{
    struct target *t = calloc(1, sizeof *t);
    int status;

    *out = NULL;
    if (!t) return error_text(err, LATENT_E_NOMEM, "out of memory");
    t->options = options;
    status = connect_target(t, context, err);
    if (!status) status = wait_info(t, err);
    if (status) {
        target_close(t);
        return status;
    }
    zmq_setsockopt(t->socket, ZMQ_SUBSCRIBE, t->frame_topic, strlen(t->frame_topic));
    zmq_setsockopt(t->socket, ZMQ_UNSUBSCRIBE, "", 0);
    *out = t;
    return 0;
}

void target_close(struct target *t)
{
    if (!t) return;
    if (t->socket) zmq_close(t->socket);
    free(t->arena.bytes);
    free(t);
}
