/* Read in the pool; compared and brought into force in the control thread, at once. */
#include "latentd/reload.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/compare.h"
#include "conf/read.h"
#include "net/peers.h"

struct words {
    char text[RELOAD_TEXT];
    size_t n, n_items;
};

struct reload {
    uv_work_t work;
    struct daemon *daemon;
    bool dry_run, is_by_signal;
    uint64_t t_ns;

    /* Of the pool's thread, until is_read. */
    struct conf conf;
    struct access_clients *clients; /* NULL: conf has problems */
    bool is_read, is_given_up;      /* the control thread's */

    struct words refused, changed;
};

/* ---- in the pool ---- */

static void read_files(uv_work_t *work)
{
    struct reload *r = work->data;

    if (conf_read(&r->conf, r->daemon->conf.path) == 0) access_read(&r->clients, &r->conf);
}

/* ---- what differs ---- */

__attribute__((format(printf, 2, 3))) static void add(struct words *w, const char *format, ...)
{
    va_list args;

    if (w->n + 2 < sizeof w->text && w->n_items > 0)
        w->n += (size_t)snprintf(w->text + w->n, sizeof w->text - w->n, ", ");
    w->n_items++;
    va_start(args, format);
    if (w->n < sizeof w->text)
        w->n += (size_t)vsnprintf(w->text + w->n, sizeof w->text - w->n, format, args);
    va_end(args);
}

static void add_client(struct reload *r, const struct conf_difference *d)
{
    if (!d->key)
        add(&r->changed, "client %s %s", d->name, d->is_gone ? "gone" : "new");
    else
        add(&r->changed, "%s of client %s", d->key, d->name);
}

static void on_difference(void *ctx, const struct conf_difference *d)
{
    const char *of = d->section == CONF_STREAM ? "stream " : "latentd";
    struct reload *r = ctx;

    if (d->section == CONF_CLIENT)
        add_client(r, d);
    else if (!d->key)
        add(&r->refused, "[%s%s] is %s", of, d->name, d->is_gone ? "gone" : "new");
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

static void apply(struct reload *r)
{
    struct daemon *d = r->daemon;
    bool narrower = access_is_narrower(atomic_load(&d->access.clients), r->clients, ACCESS_OUTPUT);
    struct conf before = d->read;

    access_replace(&d->access, r->clients);
    r->clients = NULL;
    d->read = r->conf;
    r->conf = before;
    if (narrower) peers_cut_all();
}

static enum reload_answer judge(struct reload *r, char text[RELOAD_TEXT])
{
    if (!r->clients) {
        snprintf(text, RELOAD_TEXT, "refused, nothing was changed: %.330s%s", r->conf.problems[0],
                 r->conf.n_problems > 1 ? "; and more, see latentd --check" : "");
        return RELOAD_REFUSED;
    }
    conf_compare(&r->daemon->read, &r->conf, on_difference, r);
    compare_keys(r);
    if (r->refused.n_items) {
        snprintf(text, RELOAD_TEXT,
                 "refused, nothing was changed: this needs a restart of latentd: %.400s",
                 r->refused.text);
        return RELOAD_REFUSED;
    }
    if (r->changed.n_items == 0)
        snprintf(text, RELOAD_TEXT, "nothing has changed in %.400s", r->conf.path);
    else
        snprintf(text, RELOAD_TEXT, "%s: %.450s", r->dry_run ? "would change" : "changed",
                 r->changed.text);
    if (!r->dry_run && r->changed.n_items) apply(r);
    return RELOAD_DONE;
}

/* ---- life ---- */

static void end(struct reload *r)
{
    r->daemon->is_reloading = false;
    conf_free(&r->conf);
    free(r->clients);
    free(r);
}

static void on_read(uv_work_t *work, int status)
{
    struct reload *r = work->data;
    char text[RELOAD_TEXT];
    enum reload_answer answer;

    (void)status; /* nobody cancels it */
    r->is_read = true;
    if (r->is_by_signal) {
        answer = judge(r, text);
        log_say(answer == RELOAD_DONE ? LOG_LEVEL_NOTE : LOG_LEVEL_ERROR, "reload: %s",
                printable(text));
    }
    if (r->is_by_signal || r->is_given_up) end(r);
}

struct reload *reload_new(struct daemon *d, uv_loop_t *loop, bool dry_run)
{
    struct reload *r = d->is_reloading ? NULL : calloc(1, sizeof *r);

    if (!r) return NULL;
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

enum reload_answer reload_look(struct reload *r, uint64_t now_ns, char text[RELOAD_TEXT])
{
    enum reload_answer answer;

    if (r->is_read) {
        answer = judge(r, text);
        log_say(answer == RELOAD_DONE ? LOG_LEVEL_NOTE : LOG_LEVEL_WARNING, "reload: %s",
                printable(text));
        end(r);
        return answer;
    }
    if (now_ns - r->t_ns < RELOAD_MOMENT_NS) return RELOAD_OWED;
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
        log_say(LOG_LEVEL_WARNING, "reload: another one is under way; send the signal again");
}
