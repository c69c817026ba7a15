/* A recorder is freed when the data loop has let go of its tap and its thread has
 * ended. That is asked for and waited for a moment only: a disk that stalls must not
 * hold the control thread. So the newest recorder of a stream stays until the next, or
 * the end. */
#include "latentd/recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/text.h"
#include "conf/conf.h"
#include "conf/text.h"
#include "latentd/data_loop.h"
#include "latentd/stream.h"
#include "record/path.h"
#include "wire.h"

#define MAX_PATH 4096
#define MOMENT_NS 500000000u /* that the control thread waits for the disk */
#define END_NS 5000000000u   /* that the end of the daemon does */

/* ---- opening ---- */

static char *config_text(const struct stream *s)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    if (!out) return NULL;
    conf_print_stream(s->whole_conf, s->conf, out);
    fclose(out);
    return text;
}

static int open_recorder(struct stream *s, const char *path, struct latent_error *err)
{
    const struct conf_stream *v = &s->conf->values;
    const struct recorder_options options = {.path = path,
                                             .sync_ns = v->record_sync_ns,
                                             .buffer_bytes = (size_t)v->record_buffer_mib << 20};
    struct recording *r = &s->recording;

    free(r->config);
    r->config = config_text(s);
    if (!r->config) return error_text(err, LATENT_E_NOMEM, "out of memory");
    return recorder_open(&r->recorder, &options,
                         &(struct store_about){.stream = s->conf->name,
                                               .config = r->config,
                                               .info = &s->info,
                                               .mode = s->mode,
                                               .precision = s->precision,
                                               .decoder_id = latent_decoder_id(s->decoder),
                                               .clock_id = wire_clock_id()},
                         s->line, err);
}

/* ---- of the configuration ---- */

static int configured_path(const struct conf *c, const struct stream *s, char *path,
                           struct latent_error *err)
{
    char *pattern = conf_path_of(c, s->conf->values.record);
    int status = record_path(pattern, time(NULL), path, MAX_PATH, err);

    free(pattern);
    return status ? status : record_path_resolve(path, MAX_PATH, err);
}

bool recording_check(struct conf *c, const struct stream *s)
{
    struct latent_error err = {0};
    char path[MAX_PATH];

    if (!s->conf->values.record || configured_path(c, s, path, &err) == 0) return true;
    conf_stream_problem(c, s->conf, "record", "%s", err.text);
    return false;
}

/* Wait a moment for the file, and say how it went. */
static int tell_start(const struct stream *s, struct latent_error *err)
{
    struct recorder_status status;

    recorder_wait_open(s->recording.recorder, MOMENT_NS);
    recorder_read(s->recording.recorder, &status);
    if (status.state >= RECORDER_STOPPED)
        return error_text(err, LATENT_E_IO, "%.400s", status.text);
    return error_text(err, 0, "%s is recorded into %.300s%s", s->conf->name, status.path,
                      status.state == RECORDER_OPENING ? "; the disk is slow" : "");
}

void recording_start_configured(struct stream *s, struct notes *notes)
{
    struct latent_error err = {0};
    char path[MAX_PATH];
    int status;

    if (!s->conf->values.record) return;
    status = configured_path(s->whole_conf, s, path, &err);
    if (!status) status = record_path_number(path, sizeof path, &err);
    if (!status) status = open_recorder(s, path, &err);
    if (!status) {
        atomic_store(&s->recording.wanted, s->recording.recorder);
        recording_serve(s);
        status = tell_start(s, &err);
    }
    if (status) notes_add(notes, "stream %s is not recorded: %.180s", s->conf->name, err.text);
}

/* ---- of the operator ---- */

/* Ask the data loop to take its hands off, and the thread to end. What is wanted is
 * written first and read last: when the data loop has seen the recorder as unwanted, it
 * does not take it up again. */
static void let_go(struct stream *s)
{
    struct recording *r = &s->recording;

    if (r->is_let_go) return;
    r->is_let_go = true;
    recorder_finish(r->recorder);
    atomic_store(&r->wanted, NULL);
    atomic_store(&r->unwanted, r->recorder);
    data_loop_wake(s->loop);
}

static int check_free(const struct stream *s, struct latent_error *err)
{
    struct recorder_status status;

    if (!s->recording.recorder) return 0;
    recorder_read(s->recording.recorder, &status);
    if (recorder_is_on(s->recording.recorder))
        return error_text(err, LATENT_E_CONFIG,
                          "%s is being recorded into %.300s; latentctl record stop %s first",
                          s->conf->name, status.path, s->conf->name);
    return 0;
}

static int clear_last(struct stream *s, struct latent_error *err)
{
    struct recording *r = &s->recording;

    if (!r->recorder) return 0;
    let_go(s);
    if (!recorder_wait_end(r->recorder, MOMENT_NS))
        return error_text(err, LATENT_E_IO,
                          "the last record of %s is still being closed; try again", s->conf->name);
    recorder_close(r->recorder, 0);
    *r = (struct recording){.config = r->config};
    return 0;
}

static int check_path(char *path, struct latent_error *err)
{
    struct stat found;

    if (path[0] != '/')
        return error_text(err, LATENT_E_CONFIG, "record '%.300s': expected a path from the root on",
                          path);
    if (lstat(path, &found) == 0)
        return error_text(err, LATENT_E_CONFIG,
                          "record %.300s: the file exists; a record never replaces one", path);
    return record_path_resolve(path, MAX_PATH, err);
}

int recording_start(struct stream *s, const char *path, bool dry_run, struct latent_error *err)
{
    char whole[MAX_PATH];
    int status = check_free(s, err);

    if (!status) status = record_path(path, time(NULL), whole, sizeof whole, err);
    if (!status) status = check_path(whole, err);
    if (!status && dry_run)
        return error_text(err, 0, "%s would be recorded into %.300s", s->conf->name, whole);
    if (!status) status = clear_last(s, err);
    if (!status) status = open_recorder(s, whole, err);
    if (status) return status;
    atomic_store(&s->recording.wanted, s->recording.recorder);
    data_loop_wake(s->loop);
    return tell_start(s, err);
}

int recording_stop(struct stream *s, bool dry_run, struct latent_error *err)
{
    struct recorder *recorder = s->recording.recorder;
    struct recorder_status status;
    bool has_ended;

    if (!recorder || !recorder_is_on(recorder))
        return error_text(err, LATENT_E_CONFIG, "%s is not being recorded", s->conf->name);
    if (dry_run) return error_text(err, 0, "the record of %s would end", s->conf->name);
    let_go(s);
    has_ended = recorder_wait_end(recorder, MOMENT_NS);
    recorder_read(recorder, &status);
    return error_text(err, 0, "the record of %s %s: %.300s, %llu frames", s->conf->name,
                      has_ended ? "is complete" : "is being closed", status.path,
                      (unsigned long long)status.n_frames);
}

bool recording_read(const struct stream *s, struct recorder_status *out)
{
    if (!s->recording.recorder) return false;
    recorder_read(s->recording.recorder, out);
    return true;
}

/* ---- the data loop ---- */

void recording_serve(struct stream *s)
{
    struct recording *r = &s->recording;
    struct recorder *unwanted = atomic_exchange(&r->unwanted, NULL);
    struct recorder *wanted = atomic_load(&r->wanted);

    if (wanted != r->tapped && r->tapped) line_remove_tap(s->line, recorder_tap(r->tapped).ctx);
    if (wanted != r->tapped && wanted) line_add_tap(s->line, recorder_tap(wanted));
    r->tapped = wanted;
    if (unwanted) recorder_detached(unwanted);
}

/* ---- the end ---- */

bool recording_close(struct stream *s)
{
    struct recording *r = &s->recording;

    if (!r->recorder) return true;
    recorder_detached(r->recorder);
    if (!recorder_close(r->recorder, END_NS)) {
        fprintf(
            stderr,
            "latentd: %s: the disk does not take the end of the record; it is whole up to there\n",
            s->conf->name);
        return false;
    }
    free(r->config);
    return true;
}
