/* Checked first; what follows cannot fail. */
#include "latentd/leave.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "latentd/daemon.h"

struct leave {
    uv_work_t work;
    struct daemon *daemon;
    struct data_loop *loops[DAEMON_MOST_STREAMS]; /* [n_loops] */
    size_t n_loops;
    uint64_t lease_ns;
    bool is_begun, is_closing;
};

/* ---- may they go? ---- */

/* What is at work in the pool looks at the stream. */
static int check_stream(const struct stream *s, char *why, size_t n_why)
{
    if (!swap_is_loading(&s->swap) && !s->swap.order.number && !s->recording.is_starting) return 0;
    return text_refuse(
        why, n_why,
        "[stream %s] is gone, and is about to get another decoder, or a record; try again",
        s->conf->name);
}

/* All of its streams, or none. *n: those that go. */
static int check_loop(const struct data_loop *loop, const bool *is_gone, size_t *n, char *why,
                      size_t n_why)
{
    const struct stream *gone = NULL, *stays = NULL;

    *n = 0;
    for (size_t i = 0; i < loop->n_streams; i++) {
        const struct stream *s = loop->streams[i];

        if (!is_gone[s->number]) {
            stays = s;
            continue;
        }
        gone = s;
        ++*n;
        if (check_stream(s, why, n_why)) return -1;
    }
    if (!gone || !stays) return 0;
    return text_refuse(
        why, n_why,
        "[stream %s] is gone, and in loop %s with [stream %s], which stays: what shares a "
        "loop can only go together while latentd runs, else this needs a restart of latentd",
        gone->conf->name, gone->conf->values.loop, stays->conf->name);
}

static int add_loops(struct leave *l, const bool *is_gone, char *why, size_t n_why)
{
    struct daemon *d = l->daemon;

    for (size_t i = 0, n; i < d->n_loops; i++) {
        if (check_loop(d->loops[i], is_gone, &n, why, n_why)) return -1;
        if (n) l->loops[l->n_loops++] = d->loops[i];
    }
    return 0;
}

/* What the operator holds in SAFE is kept of them, too. */
static int add_streams(struct leave *l, char *why, size_t n_why)
{
    size_t n_held = 0;

    for (size_t i = 0; i < l->n_loops; i++)
        for (size_t k = 0; k < l->loops[i]->n_streams; k++) {
            const struct conf_stream_section *section = l->loops[i]->streams[k]->conf;

            if (section->values.lease_ns > l->lease_ns) l->lease_ns = section->values.lease_ns;
            n_held += held_is_on(&l->daemon->held, section->name);
            if (n_held <= held_room(&l->daemon->held)) continue;
            return text_refuse(
                why, n_why,
                "[stream %s] is gone, and held in SAFE, of which no more names can be kept: "
                "latentctl safe %s off first",
                section->name, section->name);
        }
    return 0;
}

int leave_new(struct leave **out, struct daemon *d, const bool *is_gone, char *why, size_t n_why)
{
    struct leave *l = calloc(1, sizeof *l);
    int status;

    *out = NULL;
    if (!l) return text_refuse(why, n_why, "out of memory");
    l->daemon = d;
    status = add_loops(l, is_gone, why, n_why);
    if (!status) status = add_streams(l, why, n_why);
    if (status || l->n_loops == 0)
        leave_free(l);
    else
        *out = l;
    return status;
}

/* ---- going ---- */

void leave_begin(struct leave *l)
{
    for (size_t i = 0; i < l->n_loops; i++) data_loop_post_stop(l->loops[i]);
    l->is_begun = true;
    l->daemon->leave = l;
}

uint64_t leave_lease_ns(const struct leave *l)
{
    return l->lease_ns;
}

bool leave_has(const struct leave *l, const struct stream *s)
{
    for (size_t i = 0; i < l->n_loops; i++)
        for (size_t k = 0; k < l->loops[i]->n_streams; k++)
            if (l->loops[i]->streams[k] == s) return true;
    return false;
}

/* While they are being closed, the loops are the pool's. */
bool leave_has_stopped(const struct leave *l)
{
    if (l->is_closing) return true;
    for (size_t i = 0; i < l->n_loops; i++)
        if (!data_loop_has_ended(l->loops[i])) return false;
    return true;
}

bool leave_is_closing(const struct leave *l)
{
    return l->is_closing;
}

/* ---- the end ---- */

/* Sockets first: who sends through them. The list of streams is the loop's. */
static void close_loop(struct data_loop *loop)
{
    struct stream *streams[CONF_MAX_STREAMS];
    size_t n = loop->n_streams;

    memcpy(streams, loop->streams, n * sizeof(struct stream *));
    data_loop_close(loop, true);
    for (size_t i = 0; i < n; i++) stream_close(streams[i]);
}

static void close_loops(uv_work_t *work)
{
    struct leave *l = work->data;

    for (size_t i = 0; i < l->n_loops; i++) close_loop(l->loops[i]);
}

static void on_closed(uv_work_t *work, int status)
{
    struct leave *l = work->data;

    (void)status; /* nobody cancels it */
    l->daemon->leave = NULL;
    free(l);
}

static void say_ledgers(const struct leave *l)
{
    for (size_t i = 0; i < l->n_loops; i++)
        for (size_t k = 0; k < l->loops[i]->n_streams; k++)
            stream_say_ledgers(l->loops[i]->streams[k]);
}

void leave_close(struct leave *l, uv_loop_t *loop)
{
    l->is_closing = true;
    say_ledgers(l);
    l->work.data = l;
    uv_queue_work(loop, &l->work, close_loops, on_closed);
}

void leave_stop(struct leave *l)
{
    if (!l || l->is_closing) return;
    for (size_t i = 0; i < l->n_loops; i++) data_loop_stop(l->loops[i]);
    say_ledgers(l);
}

void leave_free(struct leave *l)
{
    if (!l) return;
    if (l->is_begun) close_loops(&(uv_work_t){.data = l});
    free(l);
}
