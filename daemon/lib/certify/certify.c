/* The order of the measurements, and the verdict. */
#include "certify/certify.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "certify/measure.h"
#include "command/stop.h"
#include "conf/read.h"

#define HOG_BYTES (64u << 20)
#define MAX_HOGS 256
#define RECORD_BYTES_PER_BIN 400 /* of rows and indices, beside the counts */

/* ---- load ---- */

struct hogs {
    pid_t pid[MAX_HOGS];
    size_t n;
};

__attribute__((noreturn)) static void hog_run(void)
{
    volatile unsigned char *bytes = malloc(HOG_BYTES);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    if (!bytes) _exit(1);
    for (unsigned n = 0;; n++)
        for (size_t i = 0; i < HOG_BYTES; i += 64) bytes[i] = (unsigned char)n;
}

/* One less than there are cores: on the core of the data loop the scheduler decides. */
static void hogs_start(struct hogs *h)
{
    long n_cores = sysconf(_SC_NPROCESSORS_ONLN);

    for (h->n = 0; h->n < MAX_HOGS && (long)h->n < (n_cores > 1 ? n_cores - 1 : 1); h->n++) {
        h->pid[h->n] = fork();
        if (h->pid[h->n] == 0) hog_run();
        if (h->pid[h->n] < 0) break;
    }
}

static void hogs_stop(struct hogs *h)
{
    for (size_t i = 0; i < h->n; i++) {
        kill(h->pid[i], SIGKILL);
        waitpid(h->pid[i], NULL, 0);
    }
    h->n = 0;
}

/* ---- subjects ---- */

static int subject_open(struct subject *s, const struct conf *c,
                        struct conf_stream_section *section, struct latent_error *err)
{
    char *path = conf_path_of(c, section->values.model);
    struct notes notes = {0};
    latent_model *model;
    int status = latent_model_open(&model, path, err);

    free(path);
    if (status) return status;
    *s = (struct subject){.section = section, .model = model};
    latent_model_info(model, &s->info);
    conf_resolve(&section->values, s->info.bin_width_us, s->info.every_bins);
    s->wish =
        (struct thread_wish){.priority = c->daemon.realtime_priority, .cpu = section->values.cpu};
    thread_wish_check(&s->wish, section->name, &notes);
    return 0;
}

static void hex_write(const uint8_t *bytes, size_t n, char *text)
{
    for (size_t i = 0; i < n; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static void stream_describe(struct certify_stream *out, const struct subject *s)
{
    const struct conf_stream *v = &s->section->values;

    snprintf(out->name, sizeof out->name, "%s", s->section->name);
    snprintf(out->arch, sizeof out->arch, "%s", s->info.arch);
    snprintf(out->mode, sizeof out->mode, "%s", v->mode ? v->mode : s->info.modes[0].name);
    snprintf(out->precision, sizeof out->precision, "%s",
             v->precision ? v->precision : s->info.precisions[0]);
    if (s->info.n_sessions)
        snprintf(out->session, sizeof out->session, "%s",
                 v->session ? v->session : s->info.sessions[0]);
    hex_write(s->info.sha256, sizeof s->info.sha256, out->model_sha256);
    out->n_channels = s->info.n_channels;
    out->bin_width_us = s->info.bin_width_us;
    out->budget_ns = v->budget_ns;
}

/* ---- measurements ---- */

static void measure_disk(const struct conf *c, const struct subject *subjects, struct findings *f)
{
    for (size_t i = 0; i < c->n_streams; i++) {
        const struct subject *s = &subjects[i];
        double bins_per_s = 1e6 / s->info.bin_width_us;
        char *path;

        if (!s->section->values.record) continue;
        path = conf_path_of(c, s->section->values.record);
        disk_measure(dirname(path), bins_per_s * (s->info.n_channels + RECORD_BYTES_PER_BIN), f);
        free(path);
        return;
    }
    findings_add(f,
                 &(struct finding){CERTIFY_DISK, VERDICT_OK, "record", "-",
                                   "record = PATH in a stream measures its disk", ""},
                 "none is configured");
}

/* Seconds pass: whoever waits sees what for. */
static void stage_say(const char *what, const char *whose, double seconds)
{
    fprintf(stderr, "certify: %s%s%s, %.4g s\n", what, *whose ? " of " : "", whose, seconds);
}

static int measure_streams(const struct conf *c, const struct subject *subjects, double seconds,
                           struct findings *f, struct latent_error *err)
{
    size_t fastest = 0;
    int status;

    for (size_t i = 1; i < c->n_streams; i++)
        if (subjects[i].info.bin_width_us < subjects[fastest].info.bin_width_us) fastest = i;
    stage_say("wake", "", seconds);
    status = wake_measure(&subjects[fastest], seconds, f, err);
    for (size_t i = 0; status == 0 && !stop_requested() && i < c->n_streams; i++) {
        stage_say("model", subjects[i].section->name, seconds);
        status = steps_measure(&subjects[i], seconds, f, err);
    }
    if (status == 0 && !stop_requested()) {
        stage_say("end to end", "", seconds);
        status = end_measure(c, subjects, seconds, f, err);
    }
    if (status == 0 && stop_requested())
        status = error_text(err, LATENT_E_IO, "stopped by a signal");
    return status;
}

static int measure(struct certificate *out, const struct conf *c, const struct subject *subjects,
                   struct latent_error *err)
{
    const struct certify_options *o = &out->options;
    const struct system s = {
        .root = o->root,
        .cpu = subjects[0].wish.cpu == THREAD_ANY_CPU ? -1 : (int)subjects[0].wish.cpu,
        .priority = c->daemon.realtime_priority};
    struct counters before, after;
    struct hogs hogs = {.n = 0};
    uint64_t t_ns;
    int status = 0;

    system_fingerprint(&s, &out->machine);
    system_machine(&s, &out->findings);
    system_kernel(&s, &out->findings);
    limits_measure(c, o->root, &out->findings);
    system_network(&s, &out->findings);
    measure_disk(c, subjects, &out->findings);
    system_counters(&s, &before);
    t_ns = clock_now_ns();
    if (o->load) hogs_start(&hogs);
    if (o->seconds > 0) status = measure_streams(c, subjects, o->seconds, &out->findings, err);
    hogs_stop(&hogs);
    system_counters(&s, &after);
    system_compare(&s, &before, &after, o->seconds > 0 ? (double)(clock_now_ns() - t_ns) / 1e9 : 0,
                   &out->findings);
    out->is_measured = status == 0 && o->seconds > 0;
    return status;
}

/* ---- the certificate ---- */

static void date_write(char *date, size_t n)
{
    time_t now = time(NULL);
    struct tm utc;

    gmtime_r(&now, &utc);
    strftime(date, n, "%Y-%m-%d %H:%M:%S UTC", &utc);
}

int certify(struct certificate *out, const struct certify_options *options,
            struct latent_error *err)
{
    struct subject *subjects = NULL;
    struct conf c;
    size_t n = 0;
    int status = 0;

    *out = (struct certificate){.options = *options};
    date_write(out->date, sizeof out->date);
    if (conf_read(&c, options->config)) {
        status = error_text(err, LATENT_E_CONFIG, "%s", c.problems[0]);
        conf_free(&c);
        return status;
    }
    subjects = memory_need(calloc(c.n_streams, sizeof *subjects));
    out->streams = memory_need(calloc(c.n_streams, sizeof *out->streams));
    for (; status == 0 && n < c.n_streams; n += status == 0) {
        status = subject_open(&subjects[n], &c, &c.streams[n], err);
        if (status == 0) stream_describe(&out->streams[n], &subjects[n]);
    }
    out->n_streams = n;
    if (status == 0) status = measure(out, &c, subjects, err);
    for (size_t i = 0; i < n; i++) latent_model_close((latent_model *)(uintptr_t)subjects[i].model);
    free(subjects);
    conf_free(&c);
    return status;
}

void certificate_free(struct certificate *c)
{
    findings_free(&c->findings);
    free(c->streams);
    c->streams = NULL;
}

enum certify_group certificate_failed(const struct certificate *c)
{
    enum certify_group first = CERTIFY_N_GROUPS;

    for (size_t i = 0; i < c->findings.n_series; i++) {
        const struct series *s = &c->findings.series[i];

        if (s->group >= CERTIFY_WAKE && s->group < first && series_verdict(s) == VERDICT_FAIL)
            first = s->group;
    }
    return first;
}

bool certificate_holds(const struct certificate *c)
{
    return c->is_measured && certificate_failed(c) == CERTIFY_N_GROUPS;
}
