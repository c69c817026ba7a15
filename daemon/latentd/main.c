/* latentd: decodes streams of binned spikes in real time. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "command/options.h"
#include "conf/read.h"
#include "conf/text.h"
#include "latentd/control.h"
#include "latentd/daemon.h"
#include "latentd/notify.h"
#include "latentd/process.h"
#include "latentd/ramp.h"

#define PROGRAM "latentd"

/* What is asked for; nothing of it: to run. */
struct arguments {
    const char *path; /* of the configuration */
    bool check, print_config, help_config, man;
};

/* ---- command line ---- */

static int arguments_check(const struct option_table *table, const struct arguments *a,
                           struct latent_error *err)
{
    bool needs_path = !a->help_config && !a->man;

    if (a->check + a->print_config + a->help_config + a->man > 1)
        return options_refuse(
            table, err, "--check, --print-config, --help-config and --man exclude each other");
    if (needs_path && !a->path) return options_refuse(table, err, "CONFIG is missing");
    if (!needs_path && a->path) return options_refuse(table, err, "unexpected \"%s\"", a->path);
    return 0;
}

static int arguments_read(struct arguments *a, int argc, char **argv, struct latent_error *err)
{
    const struct option_command commands[] = {
        {"", 0, {NULL}, NULL}, {"CONFIG", 0, {&a->path}, "the configuration file"}, {0}};
    const struct option_row rows[] = {
        OPTION_SWITCH("check", &a->check,
                      "open the models and check everything without starting;\n"
                      "print the configuration as it would be in force"),
        OPTION_SWITCH("print-config", &a->print_config,
                      "print the configuration as it was read, without\n"
                      "opening models"),
        OPTION_SWITCH("help-config", &a->help_config,
                      "describe every key of the configuration: meaning,\nvalues, default"),
        OPTION_SWITCH("man", &a->man, "the same as a manual page (troff)"),
        {0},
    };
    const struct option_table table = {
        .program = PROGRAM,
        .purpose = "decode streams of binned spikes in real time",
        .usage = "CONFIG\n"
                 "       " PROGRAM " --check CONFIG",
        .rows = rows,
        .commands = commands,
        .notes = "Prints one line that starts with READY when it decodes. Every signal that\n"
                 "can be caught, but those of a crash, ends it in order: the last frame of each\n"
                 "stream carries the flag SAFE and the neutral readout. SIGHUP reads the\n"
                 "configuration anew (latentctl reload), unless stderr is a terminal.\n"
                 "Exit: 0 ended as asked; 1 a model, port or other resource cannot be had; 2 a\n"
                 "mistake in the command line or in the configuration.\n"};
    int status = options_read(&table, argc, argv, NULL, err);

    return status == OPTIONS_RUN ? arguments_check(&table, a, err) : status;
}

/* ---- tasks without a daemon ---- */

static enum program_exit configuration_print(const char *path)
{
    struct conf conf;
    enum program_exit status = conf_read(&conf, path) ? PROGRAM_MISUSED : PROGRAM_DONE;

    for (size_t i = 0; i < conf.n_problems; i++) fprintf(stderr, "%s\n", conf.problems[i]);
    if (status == PROGRAM_DONE) conf_print(&conf, stdout);
    conf_free(&conf);
    return status;
}

/* A comment of the configuration that is printed before it. */
static void checked_print(const struct stream *s)
{
    printf("# stream %s: %s: checked against its author's own outputs: %s\n", s->conf->name,
           s->info.path, s->info.checked ? s->info.checked : "unknown");
}

static enum program_exit configuration_check(const char *path)
{
    struct daemon d;
    enum program_exit status = daemon_configure(&d, path);

    if (status == PROGRAM_DONE) conf_print(&d.conf, stdout);
    for (size_t i = 0; status == PROGRAM_DONE && i < d.n_streams; i++) {
        checked_print(d.streams[i]);
        ramp_warn(d.streams[i], stderr);
    }
    daemon_close(&d);
    daemon_free(&d);
    return status;
}

/* ---- the daemon ---- */

static void ready_print(const struct control *c)
{
    const struct daemon *d = c->daemon;

    printf("READY control=%s", c->bound);
    for (size_t i = 0; i < d->n_streams; i++)
        printf(" %s.input=%s %s.output=%s", d->streams[i]->conf->name, d->streams[i]->input->bound,
               d->streams[i]->conf->name, d->streams[i]->output->bound);
    printf("\n");
    fflush(stdout);
    notify_manager("READY=1");
}

/* Control is there before the first bin is taken: an endpoint that is in use ends it here. */
static enum program_exit daemon_serve(struct daemon *d, struct control *control)
{
    struct latent_error err = {0};
    int status = daemon_open(d, &err);

    if (!status) status = control_open(control, d, &err);
    if (!status) status = daemon_start(d, &err);
    if (status) return options_fail(PROGRAM, PROGRAM_FAILED, &err);
    ready_print(control);
    control_run(control);
    daemon_post_stop(d);
    notify_manager("STOPPING=1");
    daemon_stop(d);
    if (!control_finish(control)) _exit(PROGRAM_DONE);
    return PROGRAM_DONE;
}

static enum program_exit daemon_run(const char *path)
{
    struct control control = {0};
    struct daemon d;
    enum program_exit status;

    log_open();
    process_keep_heap();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a record beyond the limit is a write that fails */
    tzset();                  /* else the first date of a record would read a file, in control */
    status = daemon_configure(&d, path);
    if (status == PROGRAM_DONE) status = daemon_serve(&d, &control);
    daemon_close(&d); /* lingers for the SAFE frames, while control still takes signals */
    control_close(&control);
    if (atomic_load(&d.access.handler_failed)) status = PROGRAM_FAILED;
    daemon_free(&d);
    return status;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct latent_error err = {0};
    int status = arguments_read(&arguments, argc, argv, &err);

    if (status == OPTIONS_DONE) return PROGRAM_DONE;
    if (status) return options_fail(PROGRAM, PROGRAM_MISUSED, &err);
    if (arguments.help_config)
        conf_print_help(stdout);
    else if (arguments.man)
        conf_print_man(stdout);
    else if (arguments.print_config)
        return configuration_print(arguments.path);
    else if (arguments.check)
        return configuration_check(arguments.path);
    else
        return daemon_run(arguments.path);
    return PROGRAM_DONE;
}
