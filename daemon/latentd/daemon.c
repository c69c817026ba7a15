/* Putting the parts together and taking them apart. */
#include "latentd/daemon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "conf/read.h"
#include "conf/text.h"
#include "latentd/process.h"
#include "net/accept.h"
#include "net/peers.h"

static void number_streams(struct daemon *d)
{
    for (size_t i = 0; i < d->n_streams; i++) d->streams[i]->number = i;
}

/* ---- configuration and models ---- */

/* The worst of all streams. */
static enum program_exit streams_open(struct daemon *d)
{
    enum program_exit worst = PROGRAM_DONE;

    for (size_t i = 0; i < d->conf.n_streams; i++) {
        enum program_exit status = stream_open(&d->streams[d->n_streams++], &d->conf,
                                               &d->conf.streams[i], &d->access, &d->notes);

        if (status > worst) worst = status;
    }
    number_streams(d);
    return worst;
}

static void print_problems(const struct conf *c)
{
    for (size_t i = 0; i < c->n_problems; i++) fprintf(stderr, "%s\n", c->problems[i]);
    if (c->n_problems > 1) fprintf(stderr, "%zu problems\n", c->n_problems);
}

/* Before anything is filled in. */
static void keep_read(struct daemon *d)
{
    size_t n;
    char *text;
    FILE *out = memory_need(open_memstream(&text, &n));

    conf_print(&d->conf, out);
    fclose(out);
    conf_free(&d->read);
    conf_read_text(&d->read, d->conf.path, memory_need(text));
    free(text);
}

enum program_exit daemon_configure(struct daemon *d, const char *path)
{
    enum program_exit status = PROGRAM_MISUSED;
    bool has_keys;

    *d = (struct daemon){.t_start_ns = clock_now_ns()};
    conf_init(&d->read, path);
    if (conf_read(&d->conf, path) == 0) {
        keep_read(d);
        has_keys = access_open(&d->access, &d->conf) == 0;
        status = streams_open(d);
        if (!has_keys && status == PROGRAM_DONE) status = PROGRAM_FAILED;
    }
    print_problems(&d->conf);
    return status;
}

/* ---- data loops ---- */

/* Those of one loop that is to be opened, the first of which stands at `from`. */
static size_t gather(const struct daemon *d, size_t from, struct stream **out)
{
    const char *loop = d->streams[from]->conf->values.loop;
    size_t n = 0;

    for (size_t i = from; i < d->n_streams; i++)
        if (strcmp(d->streams[i]->conf->values.loop, loop) == 0) out[n++] = d->streams[i];
    return n;
}

/* Of streams that have none yet. */
static int open_loops(struct daemon *d, struct latent_error *err)
{
    struct stream *of_loop[DAEMON_MOST_STREAMS];

    for (size_t i = 0; i < d->n_streams; i++) {
        const char *name = d->streams[i]->conf->values.loop;

        if (d->streams[i]->orders) continue;
        if (data_loop_open(&d->loops[d->n_loops++], name, of_loop, gather(d, i, of_loop),
                           d->data_context, err))
            return err->status;
    }
    return 0;
}

/* ---- real-time wishes: what is refused becomes a note ---- */

static void wish_for_contexts(struct daemon *d)
{
    struct thread_wish wish = {.priority = d->conf.daemon.realtime_priority,
                               .cpu = d->conf.daemon.io_cpu};

    thread_wish_check(&wish, "ZeroMQ's threads", &d->notes);
    socket_context_wish(d->data_context, &wish);
    socket_context_wish(d->outputs.context, &wish);
    peers_limit(d->outputs.context);
    d->outputs.wish = wish;
}

static void wish_for_loops(struct daemon *d, size_t first)
{
    for (size_t i = first; i < d->n_loops; i++) {
        struct data_loop *l = d->loops[i];

        l->wish = (struct thread_wish){.priority = d->conf.daemon.realtime_priority,
                                       .cpu = l->streams[0]->conf->values.cpu};
        thread_wish_check(&l->wish, l->name, &d->notes);
    }
}

/* ---- start ---- */

static int open_zaps(struct daemon *d, struct latent_error *err)
{
    if (!d->access.encrypts) return 0;
    if (zap_open(&d->zap, d->data_context, &d->access, err)) return err->status;
    return zap_open(&d->output_zap, d->outputs.context, &d->access, err);
}

/* One note for all streams, however many. */
static void note_unclipped(struct daemon *d)
{
    char names[NOTES_TEXT / 2] = "";
    size_t n = 0;

    for (size_t i = 0; i < d->n_streams; i++) {
        if (d->streams[i]->info.channel_clip) continue;
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "",
                              d->streams[i]->conf->name);
        if (n >= sizeof names) n = sizeof names - 1; /* cut off */
    }
    if (n)
        notes_add(&d->notes,
                  "input is not clipped, the model does not say what training saw (export it with "
                  "--statistics): %s",
                  names);
}

int daemon_open(struct daemon *d, struct latent_error *err)
{
    /* Each may have a record that begins, and a model; others may be leaving. */
    process_widen_pool(2 * d->n_streams + 1);
    held_open(&d->held, &d->conf, &d->notes);
    for (size_t i = 0; i < d->n_streams; i++) stream_take_section(d->streams[i], &d->conf);
    d->conf.n_streams = 0;
    d->data_context = memory_need(zmq_ctx_new());
    d->outputs.context = memory_need(zmq_ctx_new());
    process_raise_files(&d->notes);
    accept_keep_reserve();
    wish_for_contexts(d);
    for (size_t i = 0; i < d->n_streams; i++) {
        d->streams[i]->outputs = &d->outputs;
        if (stream_admit(d->streams[i], &d->notes, err)) return err->status;
    }
    note_unclipped(d);
    /* Before the sockets that it guards. */
    if (open_zaps(d, err)) return err->status;
    if (open_loops(d, err)) return err->status;
    wish_for_loops(d, 0);
    return 0;
}

/* What the operator asked for in an earlier life is the first order of this one. */
static void order_held(struct daemon *d, size_t first)
{
    for (size_t i = first; i < d->n_streams; i++) {
        struct stream *s = d->streams[i];

        if (held_is_on(&d->held, s->conf->name)) orders_enter(s->orders, s->place, LINE_SAFE_ON);
    }
}

int daemon_start(struct daemon *d, struct latent_error *err)
{
    order_held(d, 0);
    for (size_t i = 0; i < d->n_streams; i++)
        recording_start_configured(&d->streams[i]->recording, &d->notes);
    for (size_t i = 0; i < d->n_loops; i++)
        if (data_loop_start(d->loops[i], err)) return err->status;
    if (lateness_open(&d->lateness, d, err)) return err->status;
    if (d->conf.daemon.lock_memory) process_lock_memory(&d->notes);
    return 0;
}

/* ---- streams that come ---- */

static int join(struct daemon *d, size_t first, size_t first_loop, struct latent_error *err)
{
    for (size_t i = first; i < d->n_streams; i++) d->streams[i]->outputs = &d->outputs;
    if (open_loops(d, err)) return err->status;
    wish_for_loops(d, first_loop);
    for (size_t i = first; i < d->n_streams; i++) held_join(&d->held, d->streams[i]->conf->name);
    order_held(d, first);
    for (size_t i = first_loop; i < d->n_loops; i++)
        if (data_loop_prepare(d->loops[i], err)) return err->status;
    for (size_t i = first; i < d->n_streams; i++)
        recording_start_joining(&d->streams[i]->recording, &d->notes);
    for (size_t i = first_loop; i < d->n_loops; i++)
        if (data_loop_start(d->loops[i], err)) return err->status;
    return 0;
}

static void undo_join(struct daemon *d, size_t first, size_t first_loop)
{
    for (size_t i = first_loop; i < d->n_loops; i++) data_loop_close(d->loops[i], false);
    for (size_t i = first; i < d->n_streams; i++) {
        held_leave(&d->held, d->streams[i]->conf->name);
        stream_close(d->streams[i]);
    }
    d->n_streams = first;
    d->n_loops = first_loop;
}

/* What looks at all loops from a thread of its own begins anew, after lateness_close. */
static void open_lateness(struct daemon *d)
{
    struct latent_error err = {0};

    if (lateness_open(&d->lateness, d, &err))
        notes_add(&d->notes, "late bins are not explained any more: %.150s", err.text);
}

int daemon_join(struct daemon *d, struct stream *const *streams, size_t n, struct latent_error *err)
{
    size_t first = d->n_streams, first_loop = d->n_loops;
    int status;

    lateness_close(d->lateness);
    for (size_t i = 0; i < n; i++) d->streams[d->n_streams++] = streams[i];
    number_streams(d);
    status = join(d, first, first_loop, err);
    if (status) undo_join(d, first, first_loop);
    open_lateness(d);
    return status;
}

/* ---- streams that leave ---- */

/* Each list closes up. */
static void forget(struct daemon *d, const struct leave *leave)
{
    size_t n_streams = 0, n_loops = 0;

    for (size_t i = 0; i < d->n_streams; i++) {
        struct stream *s = d->streams[i];

        s->number = STREAM_LEFT;
        if (leave_has(leave, s))
            held_leave(&d->held, s->conf->name);
        else
            d->streams[n_streams++] = s;
    }
    for (size_t i = 0; i < d->n_loops; i++)
        if (!leave_has(leave, d->loops[i]->streams[0])) d->loops[n_loops++] = d->loops[i];
    d->n_streams = n_streams;
    d->n_loops = n_loops;
    number_streams(d);
}

void daemon_part(struct daemon *d, struct leave *leave)
{
    if (!leave) return;
    lateness_close(d->lateness);
    leave_begin(leave);
    forget(d, leave);
    open_lateness(d);
}

/* ---- the end ---- */

void daemon_post_stop(struct daemon *d)
{
    for (size_t i = 0; i < d->n_loops; i++) data_loop_post_stop(d->loops[i]);
}

void daemon_stop(struct daemon *d)
{
    daemon_post_stop(d);
    for (size_t i = 0; i < d->n_loops; i++) data_loop_stop(d->loops[i]);
    leave_stop(d->leave);
    lateness_close(d->lateness);
    d->lateness = NULL;
    for (size_t i = 0; i < d->n_streams; i++) stream_say_ledgers(d->streams[i]);
}

void daemon_close(struct daemon *d)
{
    lateness_close(d->lateness);
    d->lateness = NULL;
    for (size_t i = 0; i < d->n_loops; i++) data_loop_close(d->loops[i], false);
    leave_free(d->leave);
    d->leave = NULL;
    zap_close(&d->zap);
    zap_close(&d->output_zap);
    if (d->data_context) zmq_ctx_term(d->data_context);
    if (d->outputs.context) zmq_ctx_term(d->outputs.context);
    changes_free(d->changes); /* no data thread has them any more */
    for (size_t i = 0; i < d->n_streams; i++) stream_close(d->streams[i]);
    d->changes = NULL;
    d->n_streams = d->n_loops = 0;
}

void daemon_free(struct daemon *d)
{
    held_close(&d->held);
    access_close(&d->access);
    conf_free(&d->conf);
    conf_free(&d->read);
}

struct stream *daemon_find_stream(struct daemon *d, const char *name)
{
    for (size_t i = 0; i < d->n_streams; i++)
        if (strcmp(d->streams[i]->conf->name, name) == 0) return d->streams[i];
    return NULL;
}
