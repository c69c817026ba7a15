/* Read in the pool; compared and brought into force in the control thread, at once. */
#include "latentd/reload.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/compare.h"
#include "conf/read.h"
#include "latentd/join.h"
#include "net/peers.h"

struct words {
    char text[RELOAD_TEXT - 100];
    size_t n, n_items, n_more; /* n_more: for which there is no room */
};

struct reload {
    uv_work_t work;
    struct daemon *daemon;
    bool dry_run, is_by_signal;
    uint64_t t_ns;

    /* Of the pool's thread, until is_read. */
    struct conf conf;
    struct access_clients *clients; /* NULL: conf has problems */
    struct join join;
    _Atomic bool is_opening;   /* the file is read; models take what time they need */
    bool is_read, is_given_up; /* the control thread's */

    struct words refused, changed;
    bool *is_changed, *is_gone; /* [streams of the daemon] */
    uint64_t t_order_ns;        /* 0: nothing was ordered */
    char text[RELOAD_TEXT];
};

/* ---- in the pool ---- */

static void read_files(uv_work_t *work)
{
    struct reload *r = work->data;

    if (conf_read(&r->conf, r->daemon->conf.path) == 0) access_read(&r->clients, &r->conf);
    atomic_store(&r->is_opening, true);
    if (r->clients) join_open(&r->join, r->daemon, &r->conf);
}

/* ---- what differs ---- */

__attribute__((format(printf, 2, 3))) static void add(struct words *w, const char *format, ...)
{
    size_t room = sizeof w->text - w->n, n;
    char item[sizeof w->text];
    va_list args;

    va_start(args, format);
    vsnprintf(item, sizeof item, format, args);
    va_end(args);
    n = (size_t)snprintf(w->text + w->n, room, "%s%s", w->n_items ? ", " : "", item);
    w->n_items++;
    if (n < room && w->n_more == 0) {
        w->n += n;
        return;
    }
    w->text[w->n] = '\0';
    w->n_more++;
}

/* As many as there is room for, and how many more. */
static const char *end_words(struct words *w)
{
    char more[40];

    if (w->n_more == 0) return w->text;
    snprintf(more, sizeof more, " and %zu more", w->n_more);
    if (w->n + strlen(more) >= sizeof w->text) w->n = sizeof w->text - strlen(more) - 1;
    snprintf(w->text + w->n, sizeof w->text - w->n, "%s", more);
    return w->text;
}

static void add_client(struct reload *r, const struct conf_difference *d)
{
    if (!d->key)
        add(&r->changed, "client %s %s", d->name, d->is_gone ? "gone" : "new");
    else
        add(&r->changed, "%s of client %s", d->key, d->name);
}

static void add_live(struct reload *r, const struct conf_difference *d)
{
    struct daemon *daemon = r->daemon;

    r->is_changed[daemon_find_stream(daemon, d->name)->number] = true;
    add(&r->changed, "%s of stream %s was %s, is %s", d->key, d->name, d->before, d->after);
}

static void add_stream(struct reload *r, const struct conf_difference *d)
{
    struct daemon *daemon = r->daemon;

    if (d->is_gone) r->is_gone[daemon_find_stream(daemon, d->name)->number] = true;
    add(&r->changed, "stream %s %s", d->name, d->is_gone ? "gone" : "new");
}

static void on_difference(void *ctx, const struct conf_difference *d)
{
    const char *of = d->section == CONF_STREAM ? "stream " : "latentd";
    struct reload *r = ctx;

    if (d->section == CONF_CLIENT)
        add_client(r, d);
    else if (d->section == CONF_STREAM && d->key && conf_is_live(d->key))
        add_live(r, d);
    else if (!d->key)
        add_stream(r, d);
    else
        add(&r->refused, "%s of [%s%s] was %s, is %s", d->key, of, d->name, d->before, d->after);
}

/* A client's file may hold another key than when it was read. */
static void compare_keys(struct reload *r)
{
    const struct access_clients *before = atomic_load(&r->daemon->access.clients);

    for (size_t i = 0; i < r->clients->n; i++) {
        const struct access_client *after = &r->clients->client[i];

        for (size_t k = 0; k < before->n; k++)
            if (strcmp(before->client[k].name, after->name) == 0 &&
                memcmp(before->client[k].key, after->key, KEY_BYTES) != 0)
                add(&r->changed, "key of client %s", after->name);
    }
}

/* ---- into force ---- */

static void apply(struct reload *r, struct changes *changes, struct leave *leave)
{
    struct daemon *d = r->daemon;
    bool narrower = access_is_narrower(atomic_load(&d->access.clients), r->clients, ACCESS_OUTPUT);
    struct conf before = d->read;

    changes_apply(changes);
    d->changes = changes;
    r->t_order_ns = clock_now_ns();
    access_replace(&d->access, r->clients);
    r->clients = NULL;
    d->read = r->conf;
    r->conf = before;
    daemon_part(d, leave);
    if (narrower) peers_cut_all();
}

__attribute__((format(printf, 2, 3))) static enum reload_answer refuse(struct reload *r,
                                                                       const char *format, ...)
{
    int n = snprintf(r->text, sizeof r->text, "refused, nothing was changed: ");
    va_list args;

    va_start(args, format);
    vsnprintf(r->text + n, sizeof r->text - (size_t)n, format, args);
    va_end(args);
    return RELOAD_REFUSED;
}

/* All of it is ready, and what comes runs; or why not, and nothing is. */
static int prepare(struct reload *r, struct changes **changes, struct leave **leave, char *why,
                   size_t n_why)
{
    struct daemon *d = r->daemon;

    *changes = NULL;
    *leave = NULL;
    snprintf(why, n_why, "%s", r->join.why);
    if (r->join.is_refused || changes_new(changes, d, &r->conf, r->is_changed, why, n_why) ||
        leave_new(leave, d, r->is_gone, why, n_why))
        return -1;
    if (r->dry_run || join_start(&r->join, d) == 0) return 0;
    snprintf(why, n_why, "%s", r->join.why);
    return -1;
}

/* What differs can change: it does, or it is told what stands against it. */
static enum reload_answer change(struct reload *r)
{
    struct changes *changes;
    struct leave *leave;
    char why[RELOAD_TEXT];
    int status = prepare(r, &changes, &leave, why, sizeof why);

    if (!status && !r->dry_run) {
        apply(r, changes, leave);
    } else {
        changes_free(changes);
        leave_free(leave);
    }
    if (status) return refuse(r, "%s", why);
    snprintf(r->text, sizeof r->text, "%s: %s", r->dry_run ? "would change" : "changed",
             end_words(&r->changed));
    return RELOAD_DONE;
}

static enum reload_answer judge(struct reload *r)
{
    if (!r->clients)
        return refuse(r, "%s%s", r->conf.problems[0],
                      r->conf.n_problems > 1 ? "; and more, see latentd --check" : "");
    conf_compare(&r->daemon->read, &r->conf, on_difference, r);
    compare_keys(r);
    if (r->refused.n_items)
        return refuse(r, "this needs a restart of latentd: %s", end_words(&r->refused));
    if (r->changed.n_items) return change(r);
    snprintf(r->text, sizeof r->text, "nothing has changed in %.400s", r->conf.path);
    return RELOAD_DONE;
}

/* ---- life ---- */

static void end(struct reload *r)
{
    join_close(&r->join);
    r->daemon->is_reloading = false;
    conf_free(&r->conf);
    free(r->clients);
    free(r->is_changed);
    free(r->is_gone);
    free(r);
}

static void log_answer(struct reload *r, enum reload_answer answer)
{
    int bad = r->is_by_signal ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING;

    log_say(answer == RELOAD_DONE ? LOG_LEVEL_NOTE : bad, "reload: %s", printable(r->text));
}

static void on_read(uv_work_t *work, int status)
{
    struct reload *r = work->data;

    (void)status; /* nobody cancels it */
    r->is_read = true;
    if (r->is_by_signal) log_answer(r, judge(r));
    if (r->is_by_signal || r->is_given_up) end(r);
}

/* What the last one ordered is carried out, or there is none. */
static bool forget_last(struct daemon *d)
{
    if (d->leave || (d->changes && changes_are_owed(d->changes))) return false;
    changes_free(d->changes);
    d->changes = NULL;
    return true;
}

struct reload *reload_new(struct daemon *d, uv_loop_t *loop, bool dry_run)
{
    struct reload *r = !d->is_reloading && forget_last(d) ? calloc(1, sizeof *r) : NULL;

    if (!r) return NULL;
    r->is_changed = calloc(d->n_streams, sizeof *r->is_changed);
    r->is_gone = calloc(d->n_streams, sizeof *r->is_gone);
    if (!r->is_changed || !r->is_gone) {
        free(r->is_changed);
        free(r->is_gone);
        free(r);
        return NULL;
    }
    r->daemon = d;
    r->dry_run = dry_run;
    r->t_ns = clock_now_ns();
    r->work.data = r;
    d->is_reloading = true;
    uv_queue_work(loop, &r->work, read_files, on_read);
    return r;
}

void reload_give_up(struct reload *r)
{
    r->is_given_up = true;
    if (r->is_read) end(r);
}

/* The longest that the answer waits: a lease for data threads, a moment for sockets and records. */
static uint64_t patience_ns(const struct daemon *d)
{
    uint64_t lease_ns = d->changes->lease_ns;

    if (!d->leave) return lease_ns;
    if (leave_lease_ns(d->leave) > lease_ns) lease_ns = leave_lease_ns(d->leave);
    return lease_ns + RELOAD_MOMENT_NS;
}

/* What was ordered stays so, whatever becomes of the answer. */
static enum reload_answer look_ordered(struct reload *r, uint64_t now_ns, char text[RELOAD_TEXT])
{
    const struct daemon *d = r->daemon;
    bool is_done = !changes_are_owed(d->changes) && (!d->leave || leave_has_stopped(d->leave));

    if ((!is_done || d->leave) && now_ns <= r->t_order_ns + patience_ns(d)) return RELOAD_OWED;
    snprintf(text, RELOAD_TEXT, "%s%.600s%s",
             is_done ? ""
                     : "NOT DONE by every data thread within its lease, but it stays ordered: ",
             r->text, d->leave && is_done ? "; what is gone is still being closed" : "");
    end(r);
    return is_done ? RELOAD_DONE : RELOAD_NOT_DONE;
}

enum reload_answer reload_look(struct reload *r, uint64_t now_ns, char text[RELOAD_TEXT])
{
    enum reload_answer answer;

    if (r->t_order_ns) return look_ordered(r, now_ns, text);
    if (r->is_read) {
        answer = judge(r);
        log_answer(r, answer);
        if (r->t_order_ns) return look_ordered(r, now_ns, text);
        snprintf(text, RELOAD_TEXT, "%s", r->text);
        end(r);
        return answer;
    }
    if (atomic_load(&r->is_opening) || now_ns - r->t_ns < RELOAD_MOMENT_NS) return RELOAD_OWED;
    snprintf(text, RELOAD_TEXT,
             "NOT DONE: %.300s: the disk has not answered within %u ms; nothing was changed",
             r->daemon->conf.path, RELOAD_MOMENT_NS / 1000000);
    reload_give_up(r);
    return RELOAD_NOT_DONE;
}

void reload_by_signal(struct daemon *d, uv_loop_t *loop)
{
    struct reload *r = reload_new(d, loop, false);

    if (r)
        r->is_by_signal = true;
    else
        log_say(LOG_LEVEL_WARNING,
                "reload: another one is under way, or streams that left are being closed; send the "
                "signal again");
}
