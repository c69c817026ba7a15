/* Prepared in the pool, begun in the control thread when that is done, and looked at until the line
 * has taken the tap and the file is open. */
#include "latentd/record_start.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "record/path.h"
#include "record/place.h"

struct record_start {
    uv_work_t work;
    struct recording *recording;
    struct recording_of of; /* as it was when it was asked for */
    bool dry_run;
    uint64_t t_ns; /* when it was asked for; once begun, when that was */
    _Atomic bool is_given_up;
    char asked[RECORDING_MAX_PATH]; /* the path, before the pool resolves its links */

    /* Of the pool's thread, until is_prepared. */
    char path[RECORDING_MAX_PATH];
    struct latent_error err;
    struct recorder *recorder; /* NULL once it is the recording's */
    bool is_prepared;

    struct order order;
};

/* ---- in the pool ---- */

static int check_path(char *path, struct latent_error *err)
{
    char beside[RECORDING_MAX_PATH + 16];
    struct stat found;

    if (path[0] != '/')
        return error_text(err, LATENT_E_CONFIG, "record '%.300s': expected an absolute path", path);
    if (lstat(path, &found) == 0)
        return error_text(err, LATENT_E_CONFIG,
                          "record %.300s: the file exists; a record never replaces one", path);
    if (place_beside(path, beside, sizeof beside))
        return error_text(err, LATENT_E_CONFIG,
                          "record %.200s: %.200s is there, of a record that was renamed or "
                          "removed; move it to its record, or choose another name",
                          path, beside);
    return record_path_resolve(path, RECORDING_MAX_PATH, err);
}

static void prepare(uv_work_t *work)
{
    struct record_start *s = work->data;

    if (check_path(s->path, &s->err) || s->dry_run || atomic_load(&s->is_given_up)) return;
    recording_make(&s->of, s->path, &s->recorder, &s->err);
}

/* ---- in the control thread ---- */

static void end(struct record_start *s)
{
    s->recording->is_starting = false;
    if (s->recorder) recording_drop(s->recording, s->recorder);
    free(s);
}

static void on_prepared(uv_work_t *work, int status)
{
    struct record_start *s = work->data;

    (void)status; /* nobody cancels it */
    s->is_prepared = true;
    if (atomic_load(&s->is_given_up)) end(s);
}

enum recording_answer record_start_new(struct record_start **out, struct recording *r,
                                       uv_loop_t *loop, const char *path, bool dry_run,
                                       struct recording_told *told)
{
    struct record_start *s = calloc(1, sizeof *s);
    struct latent_error err = {0};

    *out = NULL;
    if (!s) return recording_tell(told, RECORDING_REFUSED, "out of memory");
    if (recording_may_start(r, &err) ||
        record_path(path, time(NULL), s->path, sizeof s->path, &err)) {
        free(s);
        return recording_tell(told, RECORDING_REFUSED, "%s", err.text);
    }
    memcpy(s->asked, s->path, sizeof s->asked);
    s->recording = r;
    s->of = r->of;
    r->info_of_start = r->of.about.info;
    s->dry_run = dry_run;
    s->t_ns = clock_now_ns();
    s->work.data = s;
    r->is_starting = true;
    uv_queue_work(loop, &s->work, prepare, on_prepared);
    *out = s;
    return RECORDING_OWED;
}

void record_start_give_up(struct record_start *s)
{
    atomic_store(&s->is_given_up, true);
    if (s->is_prepared) end(s);
}

static enum recording_answer look_prepared(struct record_start *s, uint64_t now_ns,
                                           struct recording_told *told)
{
    if (s->is_prepared || now_ns - s->t_ns < RECORDING_MOMENT_NS) return RECORDING_OWED;
    return recording_tell(
        told, RECORDING_NOT_DONE,
        "NOT DONE: record %.300s: the disk has not answered within %u ms; nothing is recorded",
        s->asked, RECORDING_MOMENT_NS / 1000000);
}

static enum recording_answer begin(struct record_start *s, uint64_t now_ns,
                                   struct recording_told *told)
{
    struct recording *r = s->recording;

    if (s->err.status) return recording_tell(told, RECORDING_REFUSED, "%s", s->err.text);
    if (s->dry_run)
        return recording_tell(told, RECORDING_DONE, "%s would be recorded into %.300s",
                              r->of.section->name, s->path);
    if (recording_may_begin(r, &s->of, &s->err))
        return recording_tell(told, RECORDING_REFUSED, "%s", s->err.text);
    s->order = recording_begin(r, s->recorder);
    s->recorder = NULL;
    s->t_ns = now_ns;
    if (s->order.number) return RECORDING_OWED;
    return recording_tell(told, RECORDING_REFUSED, "%s is busy with other orders; try again",
                          r->of.section->name);
}

static enum recording_answer look(struct record_start *s, uint64_t now_ns,
                                  struct recording_told *told)
{
    enum recording_answer answer;
    uint64_t t_done_ns;

    if (!s->is_prepared) return look_prepared(s, now_ns, told);
    if (!s->order.number) {
        answer = begin(s, now_ns, told);
        if (answer != RECORDING_OWED) return answer;
    }
    if (order_look(&s->order, &t_done_ns) == ORDER_OWED)
        return recording_look_late(s->recording, s->t_ns, now_ns, told);
    return recording_look_open(s->recording, s->t_ns, now_ns, told);
}

enum recording_answer record_start_look(struct record_start *s, uint64_t now_ns,
                                        struct recording_told *told)
{
    enum recording_answer answer = look(s, now_ns, told);

    if (answer != RECORDING_OWED) record_start_give_up(s);
    return answer;
}
