/* One writing at a time, of all that holds when it begins; changes meanwhile are for the next. */
#include "latentd/held.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#define MOST_OTHERS (HELD_MOST_NAMES - CONF_MAX_STREAMS)

/* ---- writing ---- */

static void write_names(uv_work_t *work)
{
    struct held *h = work->data;

    h->err_writing = (struct latent_error){0};
    held_file_write(h->path, &h->names, &h->err_writing);
}

static void names_gather(const struct held *h, struct held_names *out)
{
    *out = h->others;
    for (size_t i = 0; i < h->on.n; i++) held_names_add(out, h->on.name[i]);
}

static void on_written(uv_work_t *work, int status);

static void write_begin(struct held *h)
{
    if (h->is_writing || !h->loop) return;
    names_gather(h, &h->names);
    h->is_writing = true;
    h->is_late_said = false;
    h->n_writing = h->n_changes;
    h->work.data = h;
    uv_queue_work(h->loop, &h->work, write_names, on_written);
}

/* Said when it changes, however often it is tried. */
static void say_outcome(const struct held *h, const struct latent_error *before)
{
    if (h->err.status && strcmp(h->err.text, before->text) != 0)
        log_say(LOG_LEVEL_ERROR, "the operator's SAFE is NOT KEPT: %s", h->err.text);
    else if (!h->err.status && before->status)
        log_say(LOG_LEVEL_NOTE, "the operator's SAFE is kept in %s again", h->path);
}

static void on_written(uv_work_t *work, int status)
{
    struct held *h = work->data;
    struct latent_error before = h->err;

    (void)status; /* nobody cancels it */
    h->is_writing = false;
    h->n_settled = h->n_writing;
    h->err = h->err_writing;
    say_outcome(h, &before);
    if (h->n_settled < h->n_changes) write_begin(h);
}

/* There are no more streams than have room. */
uint64_t held_set(struct held *h, const char *name, bool on)
{
    if (on)
        held_names_add(&h->on, name);
    else
        held_names_remove(&h->on, name);
    h->n_changes++;
    write_begin(h);
    return h->n_changes;
}

void held_retry(struct held *h)
{
    if (h->err.status) write_begin(h);
}

bool held_is_writing(const struct held *h)
{
    return h->is_writing;
}

/* ---- telling ---- */

static enum held_state look_late(struct held *h, char text[HELD_TEXT])
{
    snprintf(text, HELD_TEXT, "%.300s: the disk has not answered for %u ms", h->path,
             HELD_MOMENT_NS / 1000000);
    if (!h->is_late_said) log_say(LOG_LEVEL_ERROR, "the operator's SAFE is NOT KEPT yet: %s", text);
    h->is_late_said = true;
    return HELD_NOT_KEPT;
}

enum held_state held_look(struct held *h, uint64_t change, uint64_t t_ns, uint64_t now_ns,
                          char text[HELD_TEXT])
{
    if (h->n_settled < change)
        return now_ns > t_ns && now_ns - t_ns > HELD_MOMENT_NS ? look_late(h, text) : HELD_OWED;
    snprintf(text, HELD_TEXT, "%.*s", HELD_TEXT - 1, h->err.status ? h->err.text : h->path);
    return h->err.status ? HELD_NOT_KEPT : HELD_KEPT;
}

void held_tell(const struct held *h, const char *name, char text[HELD_TEXT])
{
    text[0] = '\0';
    if (!held_is_on(h, name)) return;
    if (h->n_settled < h->n_changes)
        snprintf(text, HELD_TEXT, "NOT KEPT yet: %.300s is being written", h->path);
    else if (h->err.status)
        snprintf(text, HELD_TEXT, "NOT KEPT: %.350s", h->err.text);
    else
        snprintf(text, HELD_TEXT, "kept in %.350s", h->path);
}

/* ---- life ---- */

static void read_names(struct held *h, const struct conf *conf, struct notes *notes)
{
    struct held_names *kept = &h->names;
    struct latent_error err = {0};

    h->is_unreadable = held_file_read(h->path, kept, &err) != 0;
    for (size_t i = 0; i < conf->n_streams; i++)
        if (h->is_unreadable || held_names_have(kept, conf->streams[i].name))
            held_names_add(&h->on, conf->streams[i].name);
    if (h->is_unreadable)
        notes_add(notes,
                  "what the operator holds in SAFE cannot be read, so every stream is; latentctl "
                  "safe STREAM off lets go: %.120s",
                  err.text);
    else if (h->on.n)
        notes_add(notes, "%zu of %zu streams are held in SAFE: the operator asked for it before",
                  h->on.n, conf->n_streams);
}

/* Names that are no stream's now. */
static void keep_others(struct held *h)
{
    for (size_t i = 0; i < h->names.n; i++)
        if (!held_names_have(&h->on, h->names.name[i]) && h->others.n < MOST_OTHERS)
            held_names_add(&h->others, h->names.name[i]);
}

static void check_folder(const struct held *h, struct notes *notes)
{
    char *copy = memory_need(strdup(h->path));
    const char *folder = dirname(copy);

    if (access(folder, W_OK | X_OK))
        notes_add(notes,
                  "the operator's SAFE cannot be kept in %.100s: %s; set [latentd] safe-file to "
                  "a path that latentd may write",
                  folder, strerror(errno));
    free(copy);
}

void held_open(struct held *h, const struct conf *conf, struct notes *notes)
{
    *h = (struct held){.path = conf_safe_file(conf)};
    read_names(h, conf, notes);
    keep_others(h);
    check_folder(h, notes);
}

void held_close(struct held *h)
{
    free(h->path);
    *h = (struct held){0};
}

void held_join(struct held *h, const char *name)
{
    if (h->is_unreadable || held_names_have(&h->others, name)) held_names_add(&h->on, name);
    held_names_remove(&h->others, name);
}

size_t held_room(const struct held *h)
{
    return MOST_OTHERS - h->others.n;
}

void held_leave(struct held *h, const char *name)
{
    if (!held_is_on(h, name)) return;
    held_names_remove(&h->on, name);
    held_names_add(&h->others, name);
}

bool held_is_on(const struct held *h, const char *name)
{
    return held_names_have(&h->on, name);
}
