/* A stream in a loop that runs, or at a socket of it, would need that loop's memory to grow: it is
 * refused by name. */
#include "latentd/join.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "conf/read.h"
#include "conf/text.h"
#include "latentd/daemon.h"

__attribute__((format(printf, 2, 3))) static void refuse(struct join *j, const char *format, ...)
{
    va_list args;

    j->is_refused = true;
    va_start(args, format);
    vsnprintf(j->why, sizeof j->why, format, args);
    va_end(args);
}

/* ---- in the pool ---- */

static bool has_stream(const struct daemon *d, const char *name)
{
    for (size_t i = 0; i < d->n_streams; i++)
        if (strcmp(d->streams[i]->conf->name, name) == 0) return true;
    return false;
}

static bool has_section(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->n_streams; i++)
        if (strcmp(c->streams[i].name, name) == 0) return true;
    return false;
}

/* Of one that stays, the loop alone needs a look: streams that share a socket share it. */
static bool is_in_the_way(const struct stream *s, const struct conf_stream *v, bool stays)
{
    const struct conf_stream *has = &s->conf->values;

    return strcmp(has->loop, v->loop) == 0 ||
           (!stays && (strcmp(has->input, v->input) == 0 || strcmp(has->output, v->output) == 0));
}

/* Sections that stay as they are read, while others are settled with their models. */
static void read_again(struct join *j, const struct conf *fresh)
{
    size_t n;
    char *text;
    FILE *out = memory_need(open_memstream(&text, &n));

    conf_print(fresh, out);
    fclose(out);
    conf_read_text(&j->conf, fresh->path, memory_need(text));
    free(text);
}

static bool has_place(struct join *j, const struct daemon *d, const struct conf_stream_section *s)
{
    for (size_t i = 0; i < d->n_streams && !j->is_refused; i++) {
        const char *other = d->streams[i]->conf->name;
        bool stays = has_section(&j->conf, other);

        if (!is_in_the_way(d->streams[i], &s->values, stays)) continue;
        if (stays)
            refuse(j,
                   "[stream %s] is new, and in loop %s, which serves others: it can come while "
                   "latentd runs with a loop (and sockets) of its own, else this needs a restart "
                   "of latentd",
                   s->name, s->values.loop);
        else
            refuse(j,
                   "[stream %s] is new, with the loop or an endpoint of [stream %s], which is "
                   "gone: leave it out, reload, and bring it by the next reload",
                   s->name, other);
    }
    return !j->is_refused;
}

static void open_one(struct join *j, struct daemon *d, struct conf_stream_section *section)
{
    struct stream **s = &j->streams[j->n_new];
    struct latent_error err = {0};
    size_t n_problems = j->conf.n_problems;

    if (!has_place(j, d, section)) return;
    j->n_new++;
    if (stream_open(s, &j->conf, section, &d->access, &j->notes) != PROGRAM_DONE)
        refuse(j, "%s", j->conf.problems[n_problems]);
    else if (stream_admit(*s, &j->notes, &err))
        refuse(j, "%s", err.text);
}

static void close_streams(struct join *j)
{
    for (size_t i = 0; i < j->n_new; i++) stream_close(j->streams[i]);
    j->n_new = 0;
}

void join_open(struct join *j, struct daemon *d, const struct conf *fresh)
{
    bool any = false;

    for (size_t i = 0; i < fresh->n_streams; i++) any |= !has_stream(d, fresh->streams[i].name);
    if (!any) return;
    read_again(j, fresh);
    for (size_t i = 0; i < j->conf.n_streams && !j->is_refused; i++)
        if (!has_stream(d, j->conf.streams[i].name)) open_one(j, d, &j->conf.streams[i]);
    if (j->is_refused) close_streams(j);
}

/* ---- in the control thread ---- */

int join_start(struct join *j, struct daemon *d)
{
    size_t n_new = j->n_new;
    struct latent_error err = {0};

    if (n_new == 0) return 0;
    for (size_t i = 0; i < n_new; i++) stream_take_section(j->streams[i], &d->conf);
    j->n_new = 0; /* they are d's, or closed */
    if (daemon_join(d, j->streams, n_new, &err)) {
        refuse(j, "%s", err.text);
        return -1;
    }
    for (size_t i = 0; i < j->notes.n && d->notes.n < NOTES_MAX; i++) /* the log has them */
        memcpy(d->notes.text[d->notes.n++], j->notes.text[i], NOTES_TEXT);
    return 0;
}

void join_close(struct join *j)
{
    close_streams(j);
    conf_free(&j->conf);
}
