/* A recorder is freed when the line has forgotten its tap and its thread has ended. Neither is
 * waited for: a disk that stalls must not hold the control thread. So the newest recorder stays
 * until the next, and that one's predecessor until its file is closed. */
#include "latentd/recording.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "record/path.h"

#define END_NS 5000000000u /* that the end of the daemon waits for the disk */

/* ---- life ---- */

void recording_open(struct recording *r, const struct recording_of *of)
{
    *r = (struct recording){.of = *of};
}

void recording_use(struct recording *r, const struct store_about *about)
{
    r->of.about = *about;
}

void recording_hold(struct recording *r, bool on)
{
    r->is_held = on;
}

static bool is_at_work(struct recorder *recorder)
{
    return recorder && !recorder_has_ended(recorder);
}

bool recording_takes(const struct recording *r, const struct line_decoder *next)
{
    return !is_at_work(r->recorder) || recorder_takes(r->recorder, next);
}

bool recording_needs(const struct recording *r, const struct store_about *about)
{
    return (is_at_work(r->recorder) && r->info_of_recorder == about->info) ||
           (is_at_work(r->last) && r->info_of_last == about->info) ||
           (r->is_starting && r->info_of_start == about->info);
}

static bool close_recorder(const struct recording *r, struct recorder *recorder)
{
    if (!recorder) return true;
    recorder_detached(recorder);
    if (recorder_close(recorder, END_NS)) return true;
    log_say(LOG_LEVEL_ERROR,
            "%s: the disk does not take the end of the record; it is whole up to there",
            r->of.section->name);
    return false;
}

bool recording_close(struct recording *r)
{
    bool last = close_recorder(r, r->last), newest = close_recorder(r, r->recorder);

    return last && newest && !r->is_starting;
}

/* ---- of the configuration ---- */

static int configured_path(const struct conf *c, const struct conf_stream_section *section,
                           char *path, struct latent_error *err)
{
    char *pattern = conf_path_of(c, section->values.record);
    int status = record_path(pattern, time(NULL), path, RECORDING_MAX_PATH, err);

    free(pattern);
    return status ? status : record_path_resolve(path, RECORDING_MAX_PATH, err);
}

bool recording_check(struct conf *c, const struct conf_stream_section *section)
{
    struct latent_error err = {0};
    char path[RECORDING_MAX_PATH];

    if (!section->values.record || configured_path(c, section, path, &err) == 0) return true;
    conf_stream_problem(c, section, "record", "%s", err.text);
    return false;
}

static int start_configured(struct recording *r, uint64_t wait_ns, struct latent_error *err)
{
    const struct recording_of *of = &r->of;
    char path[RECORDING_MAX_PATH];
    struct recording_told told;
    struct recorder *recorder;
    int status = configured_path(of->conf, of->section, path, err);

    if (!status) status = record_path_number(path, sizeof path, err);
    if (!status) status = recording_make(of, path, &recorder, err);
    if (status) return status;
    if (recording_begin(r, recorder).number == 0)
        return error_text(err, LATENT_E_IO, "too many orders wait");
    if (wait_ns) recorder_wait_open(recorder, wait_ns);
    if (recording_look_open(r, 0, 0, &told) != RECORDING_REFUSED) return 0;
    return error_text(err, LATENT_E_IO, "%s", told.text);
}

static void start(struct recording *r, uint64_t wait_ns, struct notes *notes)
{
    struct latent_error err = {0};

    if (r->of.section->values.record && start_configured(r, wait_ns, &err))
        notes_add(notes, "stream %s is not recorded: %.180s", r->of.section->name, err.text);
}

void recording_start_configured(struct recording *r, struct notes *notes)
{
    start(r, RECORDING_MOMENT_NS, notes);
}

void recording_start_joining(struct recording *r, struct notes *notes)
{
    start(r, 0, notes);
}

/* ---- the beginning ---- */

int recording_make(const struct recording_of *of, const char *path, struct recorder **out,
                   struct latent_error *err)
{
    const struct conf_stream *v = &of->section->values;
    const struct recorder_options options = {.path = path,
                                             .sync_ns = v->record_sync_ns,
                                             .buffer_bytes = (size_t)v->record_buffer_mib << 20};

    return recorder_open(out, &options, &of->about, of->line, err);
}

int recording_may_start(struct recording *r, struct latent_error *err)
{
    const char *name = r->of.section->name;
    struct recorder_status status;

    if (recording_read(r, &status) && recorder_is_on(r->recorder))
        return error_text(err, LATENT_E_CONFIG,
                          "%s is being recorded into %.300s; latentctl record stop %s first", name,
                          status.path, name);
    if (r->is_starting)
        return error_text(err, LATENT_E_CONFIG, "another record of %s is being started", name);
    if (r->last && !recorder_has_ended(r->last))
        return error_text(err, LATENT_E_CONFIG,
                          "the last record of %s is still being closed; try again", name);
    recorder_close(r->last, 0);
    r->last = NULL;
    return 0;
}

/* false: the order was refused. */
static bool end_newest(struct recording *r)
{
    recorder_finish(r->recorder);
    if (r->removal.number == 0)
        r->removal = orders_remove_tap(r->of.orders, r->of.place, recorder_tap(r->recorder));
    return r->removal.number != 0;
}

int recording_may_begin(const struct recording *r, const struct recording_of *of,
                        struct latent_error *err)
{
    if (!r->is_held && r->of.about.info == of->about.info) return 0;
    return error_text(err, LATENT_E_CONFIG,
                      "the decoder of %s changed while its record was to begin; try again",
                      of->section->name);
}

void recording_drop(struct recording *r, struct recorder *recorder)
{
    recorder_detached(recorder);
    recorder_finish(recorder);
    r->last = recorder;
    r->info_of_last = r->info_of_start;
}

struct order recording_begin(struct recording *r, struct recorder *recorder)
{
    struct order order = {0};

    if (!r->recorder || end_newest(r))
        order = orders_add_tap(r->of.orders, r->of.place, recorder_tap(recorder));
    if (order.number == 0) {
        recording_drop(r, recorder);
        return order;
    }
    r->last = r->recorder;
    r->info_of_last = r->info_of_recorder;
    r->recorder = recorder;
    r->info_of_recorder = r->of.about.info;
    r->removal = (struct order){0};
    return order;
}

enum recording_answer recording_tell(struct recording_told *told, enum recording_answer answer,
                                     const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(told->text, sizeof told->text, format, args);
    va_end(args);
    printable(told->text);
    return answer;
}

enum recording_answer recording_look_open(const struct recording *r, uint64_t t_ns, uint64_t now_ns,
                                          struct recording_told *told)
{
    struct recorder_status status;

    recorder_read(r->recorder, &status);
    if (status.state >= RECORDER_STOPPED)
        return recording_tell(told, RECORDING_REFUSED, "%.400s", status.text);
    if (status.state == RECORDER_OPENING && now_ns - t_ns < RECORDING_MOMENT_NS)
        return RECORDING_OWED;
    return recording_tell(told, RECORDING_DONE, "%s is recorded into %.300s%s", r->of.section->name,
                          status.path,
                          status.state == RECORDER_OPENING ? "; the disk is slow" : "");
}

enum recording_answer recording_look_late(const struct recording *r, uint64_t t_ns, uint64_t now_ns,
                                          struct recording_told *told)
{
    uint64_t lease_ns = r->of.section->values.lease_ns;

    if (now_ns - t_ns < lease_ns) return RECORDING_OWED;
    return recording_tell(
        told, RECORDING_NOT_DONE,
        "NOT DONE: the data thread of %s has not taken the order within its lease of %.12g "
        "ms; it stays ordered",
        r->of.section->name, (double)lease_ns / 1e6);
}

/* ---- the end ---- */

enum recording_answer recording_stop(struct recording *r, bool dry_run, struct recording_told *told)
{
    const char *name = r->of.section->name;

    if (!r->recorder || !recorder_is_on(r->recorder))
        return recording_tell(told, RECORDING_REFUSED, "%s is not being recorded", name);
    if (dry_run) return recording_tell(told, RECORDING_DONE, "the record of %s would end", name);
    if (end_newest(r)) return RECORDING_OWED;
    return recording_tell(told, RECORDING_REFUSED, "%s is busy with other orders; try again", name);
}

enum recording_answer recording_look_end(const struct recording *r, uint64_t t_ns, uint64_t now_ns,
                                         struct recording_told *told)
{
    struct recorder_status status;
    uint64_t t_done_ns;
    char files[40] = "";
    bool has_ended = recorder_has_ended(r->recorder);

    if (order_look(&r->removal, &t_done_ns) == ORDER_OWED)
        return recording_look_late(r, t_ns, now_ns, told);
    if (!has_ended && now_ns - t_ns < RECORDING_MOMENT_NS) return RECORDING_OWED;
    recorder_read(r->recorder, &status);
    if (status.n_files > 1) snprintf(files, sizeof files, ", in %" PRIu64 " files", status.n_files);
    return recording_tell(told, RECORDING_DONE, "the record of %s %s: %.300s%s, %llu frames",
                          r->of.section->name, has_ended ? "is complete" : "is being closed",
                          status.path, files, (unsigned long long)status.n_frames);
}

/* ---- telling ---- */

void recording_tell_late(struct recording *r, const struct why_bin *b)
{
    if (r->recorder && recorder_is_on(r->recorder) && !recorder_tell_late(r->recorder, b))
        log_say(LOG_LEVEL_WARNING, "%s: no memory to record why bin %" PRIu64 " was late",
                r->of.section->name, b->bin.seq);
}

bool recording_read(const struct recording *r, struct recorder_status *out)
{
    if (!r->recorder) return false;
    recorder_read(r->recorder, out);
    return true;
}
