/* What was committed into a file that is left is either kept, under a name that is told, or counted
 * as lost: never neither. The file that follows carries that number before its first entry. */
#include "record/parts.h"

#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "feed/trace.h"
#include "record/kept.h"
#include "record/path.h"

#define FOLD_TRIES 20 /* while readers hold the WAL */
#define FOLD_WAIT_NS 50000000u

static int open_next(struct parts *p, struct latent_error *err)
{
    p->about.file = p->n_files + 1;
    if (store_create(&p->store, p->path, &p->about, err)) return err->status;
    p->n_files++;
    return 0;
}

int parts_open(struct parts *p, const char *path, const struct store_about *about,
               struct latent_error *err)
{
    *p = (struct parts){.about = *about};
    snprintf(p->first, sizeof p->first, "%s", path);
    snprintf(p->path, sizeof p->path, "%s", path);
    return open_next(p, err);
}

void parts_close(struct parts *p)
{
    store_close(p->store);
    p->store = NULL;
}

/* ---- leaving a file ---- */

/* true: all that was committed is in the file. */
static bool fold(struct parts *p)
{
    const struct timespec wait = clock_timespec(FOLD_WAIT_NS);
    enum store_result result = store_fold(p->store);

    for (int i = 0; result == STORE_BUSY && i < FOLD_TRIES; i++) {
        clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
        result = store_fold(p->store);
    }
    if (result) store_abandon(p->store);
    return result == STORE_OK;
}

/* More may be there than was counted: a commit that said that it failed. */
static void count_kept(const char *path, uint64_t *n_entries, uint64_t *n_frames)
{
    uint64_t entries, frames;

    if (!kept_count(path, &entries, &frames)) return;
    if (entries < *n_entries) *n_entries = entries;
    if (frames < *n_frames) *n_frames = frames;
}

/* p->before: its name now, or the last that it had. */
static bool name_before(struct parts *p)
{
    if (store_name(p->store, p->before, sizeof p->before)) return true;
    snprintf(p->before, sizeof p->before, "%s", p->path);
    return false;
}

/* Close the file, and account for what d has written into it; -> entries lost. */
static uint64_t leave(struct parts *p, enum parts_leave why, const struct drain *d)
{
    uint64_t n_entries = d->n_entries, n_frames = d->n_frames;
    bool has_name = name_before(p), is_whole = true;

    if (why == PARTS_LONG) store_close(p->store);
    if (why == PARTS_MOVED) is_whole = fold(p);
    if (why >= PARTS_BROKEN) store_abandon(p->store);
    p->store = NULL;
    if (!has_name && why == PARTS_GONE) n_entries = n_frames = 0;
    if (has_name && !(is_whole && why <= PARTS_LONG)) count_kept(p->before, &n_entries, &n_frames);
    if (has_name) p->kept_bytes += place_bytes_at(p->before);
    p->kept_entries += n_entries;
    p->kept_frames += n_frames;
    p->lost_entries += d->n_entries - n_entries;
    p->lost_frames += d->n_frames - n_frames;
    return d->n_entries - n_entries;
}

/* ---- the next file ---- */

/* Beside the first; if that folder is gone, where the file is now; else the folder is made
 * again. */
static int choose_path(struct parts *p, struct latent_error *err)
{
    char first[PLACE_MAX_PATH], before[PLACE_MAX_PATH];
    const char *slash = strrchr(p->first, '/'), *folder;

    snprintf(first, sizeof first, "%s", p->first);
    snprintf(before, sizeof before, "%s", p->before);
    folder = dirname(first);
    if (access(folder, F_OK) != 0) {
        const char *other = dirname(before);

        if (access(other, F_OK) == 0)
            folder = other;
        else
            mkdir(folder, 0755);
    }
    if (snprintf(p->path, sizeof p->path, "%s/%s", strcmp(folder, "/") ? folder : "",
                 slash ? slash + 1 : p->first) >= (int)sizeof p->path)
        return error_text(err, LATENT_E_IO, "record %.200s: the name is too long", p->first);
    return record_path_next(p->path, sizeof p->path, p->n_files + 1, err);
}

/* Before the first entry of the new file. */
static void put_loss(struct parts *p, uint64_t n_entries, uint64_t n_frames)
{
    const struct trace_loss loss = {.n_entries = n_entries, .n_frames = n_frames};
    const struct ring_record record = {TRACE_LOSS, sizeof loss, &loss};

    if (n_entries == 0 || store_begin(p->store)) return;
    if (store_put(p->store, &record) || store_commit(p->store, true)) store_rollback(p->store);
}

static void explain(const struct parts *p, enum parts_leave why, char *text, size_t n)
{
    if (why == PARTS_LONG)
        snprintf(text, n,
                 "%.300s has been read by somebody for so long that its -wal has %" PRIu64 " MiB",
                 p->path, store_wal_bytes(p->store) >> 20);
    else
        snprintf(text, n, "%.330s", store_text(p->store));
}

static void say(struct parts *p, const char *why, bool is_copied, uint64_t n_lost)
{
    char lost[100] = "";

    if (is_copied) snprintf(lost, sizeof lost, "; all of it has been copied");
    if (n_lost > 0)
        snprintf(lost, sizeof lost, "; %" PRIu64 " entries of it cannot be read any more", n_lost);
    snprintf(p->text, sizeof p->text, "%.330s%s", why, lost);
    printable(p->text);
    log_say(LOG_LEVEL_ERROR, "stream %s: record %s%s%s", p->about.stream, p->text,
            p->store ? "; it goes on in " : "", p->store ? p->path : "");
}

/* The newest file under another name, as far as d has written, in place of the one that is gone. */
static bool rescue(struct parts *p, const struct drain *d)
{
    struct latent_error err = {0};
    struct store *gone = p->store, *copy;

    name_before(p);
    p->about.continues = p->before;
    p->about.file = p->n_files + 1;
    if (choose_path(p, &err) || store_rescue(&copy, gone, p->path, &p->about, &err)) {
        snprintf(p->path, sizeof p->path, "%s", p->before);
        return false;
    }
    store_forget(gone);
    p->store = copy;
    p->n_files++;
    p->kept_entries += d->n_entries;
    p->kept_frames += d->n_frames;
    return true;
}

int parts_next(struct parts *p, enum parts_leave why, const struct drain *d,
               struct latent_error *err)
{
    uint64_t n_lost, lost_before = p->lost_frames;
    char reason[LATENT_ERROR_TEXT];
    int status;

    explain(p, why, reason, sizeof reason);
    if (why == PARTS_GONE && rescue(p, d)) {
        say(p, reason, true, 0);
        return 0;
    }
    n_lost = leave(p, why, d);
    p->about.continues = p->before;
    status = choose_path(p, err);
    if (!status) status = open_next(p, err);
    if (!status) put_loss(p, n_lost, p->lost_frames - lost_before);
    say(p, reason, false, n_lost);
    return status;
}

void parts_end(struct parts *p, const struct drain *d)
{
    enum place_found found = store_look(p->store);
    char reason[LATENT_ERROR_TEXT];
    uint64_t n_lost = 0;
    bool is_copied;

    if (found == PLACE_SAME) {
        leave(p, PARTS_LONG, d);
        return;
    }
    explain(p, PARTS_MOVED, reason, sizeof reason);
    is_copied = found == PLACE_GONE && rescue(p, d);
    if (!is_copied)
        n_lost = leave(p,
                       found == PLACE_MOVED ? PARTS_MOVED
                       : found == PLACE_CUT ? PARTS_BROKEN
                                            : PARTS_GONE,
                       d);
    say(p, reason, is_copied, n_lost);
    parts_close(p);
}
