/* latentd: decode streams of binned spikes in real time. */
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/read.h"
#include "conf/text.h"
#include "latentd/control.h"
#include "latentd/daemon.h"
#include "latentd/notify.h"
#include "latentd/process.h"

static const char usage[] =
    "latentd " LATENT_VERSION ": decode streams of binned spikes in real time\n"
    "\n"
    "usage: latentd CONFIG\n"
    "       latentd --check CONFIG\n"
    "\n"
    "  CONFIG            configuration file; latentd --help-config describes it\n"
    "  --check           open the models and check everything without starting; print the\n"
    "                    configuration as it would be in force\n"
    "  --print-config    print the configuration as it was read, without opening models\n"
    "  --help-config     every key of the configuration: meaning, values, default\n"
    "  --man             the same as a manual page (troff)\n"
    "  --help, --version\n"
    "\n"
    "Prints one line that starts with READY when it decodes. SIGINT, SIGTERM and "
    "SIGHUP end it: the\n"
    "last frame of each stream carries the flag SAFE and the neutral readout.\n"
    "Exit: 0 ended as asked; 1 a model, port or other resource cannot be had; 2 a mistake in\n"
    "the command line or in the configuration.\n";

enum task {
    TASK_RUN,
    TASK_CHECK,
    TASK_PRINT,
    TASK_HELP_CONFIG,
    TASK_MAN,
    TASK_HELP,
    TASK_VERSION,
    TASK_USAGE
};

static enum task parse(int argc, char **argv)
{
    static const struct option options[] = {{"check", no_argument, NULL, TASK_CHECK},
                                            {"print-config", no_argument, NULL, TASK_PRINT},
                                            {"help-config", no_argument, NULL, TASK_HELP_CONFIG},
                                            {"man", no_argument, NULL, TASK_MAN},
                                            {"help", no_argument, NULL, TASK_HELP},
                                            {"version", no_argument, NULL, TASK_VERSION},
                                            {NULL, 0, NULL, 0}};
    enum task task = TASK_RUN;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?') return TASK_USAGE;
        task = (enum task)option;
    }
    if (task >= TASK_HELP_CONFIG) return task;
    return argc - optind == 1 ? task : TASK_USAGE;
}

/* ---- tasks without a daemon ---- */

static int print_configuration(const char *path)
{
    struct conf conf;
    int status = conf_read(&conf, path) ? DAEMON_MISCONFIGURED : DAEMON_OK;

    for (size_t i = 0; i < conf.n_problems; i++) fprintf(stderr, "%s\n", conf.problems[i]);
    if (status == DAEMON_OK) conf_print(&conf, stdout);
    conf_free(&conf);
    return status;
}

static int check(const char *path)
{
    struct daemon d;
    int status = daemon_configure(&d, path);

    if (status == DAEMON_OK) conf_print(&d.conf, stdout);
    daemon_close(&d);
    daemon_free(&d);
    return status;
}

/* ---- the daemon ---- */

static void say_ready(const struct control *c)
{
    const struct daemon *d = c->daemon;

    printf("READY control=%s", c->bound);
    for (size_t i = 0; i < d->n_streams; i++)
        printf(" %s.input=%s %s.output=%s", d->streams[i].conf->name, d->streams[i].input->bound,
               d->streams[i].conf->name, d->streams[i].output->bound);
    printf("\n");
    fflush(stdout);
    notify_manager("READY=1");
}

/* Control is there before the first bin is taken: a control endpoint that is in use
 * ends it here. */
static int open_control(struct control *control, struct daemon *d)
{
    struct latent_error err = {0};

    if (control_open(control, d, &err) == 0) return DAEMON_OK;
    fprintf(stderr, "latentd: %s\n", err.text);
    return DAEMON_FAILED;
}

static int run(const char *path)
{
    struct control control = {0};
    struct daemon d;
    bool end_at_once = false;
    int status;

    process_keep_heap();
    signal(SIGPIPE, SIG_IGN);
    status = daemon_configure(&d, path);
    if (status == DAEMON_OK) status = daemon_open(&d);
    if (status == DAEMON_OK) status = open_control(&control, &d);
    if (status == DAEMON_OK) status = daemon_start(&d);
    if (status == DAEMON_OK) {
        say_ready(&control);
        control_run(&control);
        notify_manager("STOPPING=1");
        daemon_stop(&d);
        end_at_once = !control_finish(&control);
    }
    if (end_at_once) _exit(DAEMON_OK);
    daemon_close(&d); /* lingers for the SAFE frames, while control still takes signals */
    control_close(&control);
    if (atomic_load(&d.access.handler_failed)) status = DAEMON_FAILED;
    daemon_free(&d);
    return status;
}

int main(int argc, char **argv)
{
    enum task task = parse(argc, argv);
    const char *path = argv[optind];

    switch (task) {
    case TASK_RUN:
        return run(path);
    case TASK_CHECK:
        return check(path);
    case TASK_PRINT:
        return print_configuration(path);
    case TASK_HELP_CONFIG:
        conf_print_help(stdout);
        return 0;
    case TASK_MAN:
        conf_print_man(stdout);
        return 0;
    case TASK_HELP:
        fputs(usage, stdout);
        return 0;
    case TASK_VERSION:
        printf("latentd %s\n", latent_version());
        return 0;
    case TASK_USAGE:
        break;
    }
    fputs(usage, stderr);
    return DAEMON_MISCONFIGURED;
}
