/* latentctl: ask a running latentd how it is, and tell it what to do. */
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "latentctl/client.h"
#include "latentctl/export.h"
#include "latentctl/json.h"
#include "latentctl/table.h"
#include "tool/printable.h"

#define DEFAULT_CONTROL "ipc:///run/latentd/control"

static const char usage[] =
    "latentctl " LATENT_VERSION ": ask a running latentd, and tell it what to do\n"
    "\n"
    "usage: latentctl [OPTION...] status\n"
    "       latentctl [OPTION...] model STREAM\n"
    "       latentctl [OPTION...] reset STREAM\n"
    "       latentctl [OPTION...] safe STREAM on|off\n"
    "       latentctl [OPTION...] record start STREAM FILE\n"
    "       latentctl [OPTION...] record stop STREAM\n"
    "       latentctl export RECORD OUT.h5\n"
    "\n"
    "  status              streams, ledgers, times\n"
    "  model STREAM        the model that decodes a stream\n"
    "  reset STREAM        reset the decoder before the stream's next bin\n"
    "  safe STREAM on      take the readout to neutral and hold it there\n"
    "  safe STREAM off     hold it no longer: as many good bins as safe-exit says end "
    "it\n"
    "  record start STREAM FILE\n"
    "                      record everything of the stream into a new file; %Y, %m, "
    "%d,\n"
    "                      %H, %M, %S in its name become the time, UTC\n"
    "  record stop STREAM  complete the file\n"
    "  export RECORD OUT.h5\n"
    "                      a record as HDF5: bins, frames, outcomes, actions; needs "
    "no\n"
    "                      latentd\n"
    "\n"
    "  --control ENDPOINT  where latentd listens (default: " DEFAULT_CONTROL ")\n"
    "  --json              for programs\n"
    "  --dry-run           check and answer, change nothing\n"
    "  --timeout SECONDS   wait this long for an answer (default: 2)\n"
    "  --help, --version\n"
    "\n"
    "Exit: 0 done; 1 no answer, or refused by latentd; 2 a mistake in the command "
    "line.\n";

struct arguments {
    const char *control, *command, *stream, *file, *out;
    bool json, dry_run, help, version;
    double timeout_s;
};

struct command {
    const char *name, *action,
        *word; /* action: the next word, word: the last; or NULL */
    Latent__V1__Operation operation;
    bool needs_stream, needs_file;
    void (*print)(const Latent__V1__Status *status, FILE *out);
    int (*without_daemon)(const struct arguments *a); /* takes file and out */
};

static int export(const struct arguments *a)
{
    struct latent_error err = {0};

    if (export_record(a->file, a->out, &err) == 0) return 0;
    fprintf(stderr, "latentctl: %s\n", printable(err.text));
    return 1;
}

static const struct command commands[] = {
    {"status", NULL, NULL, LATENT__V1__OPERATION__STATUS, false, false, table_print,
     NULL},
    {"model", NULL, NULL, LATENT__V1__OPERATION__MODEL, true, false, table_print_model,
     NULL},
    {"reset", NULL, NULL, LATENT__V1__OPERATION__RESET, true, false, NULL, NULL},
    {"safe", NULL, "on", LATENT__V1__OPERATION__SAFE_ON, true, false, NULL, NULL},
    {"safe", NULL, "off", LATENT__V1__OPERATION__SAFE_OFF, true, false, NULL, NULL},
    {"record", "start", NULL, LATENT__V1__OPERATION__RECORD_START, true, true, NULL,
     NULL},
    {"record", "stop", NULL, LATENT__V1__OPERATION__RECORD_STOP, true, false, NULL,
     NULL},
    {"export", NULL, NULL, LATENT__V1__OPERATION__OPERATION_NONE, false, true, NULL,
     export},
};

/* ---- command line ---- */

static bool parse_options(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {{"control", required_argument, NULL, 'c'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"dry-run", no_argument, NULL, 'd'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            a->control = optarg;
            break;
        case 'j':
            a->json = true;
            break;
        case 'd':
            a->dry_run = true;
            break;
        case 't':
            a->timeout_s = strtod(optarg, NULL);
            break;
        case 'h':
            a->help = true;
            break;
        case 'v':
            a->version = true;
            break;
        default:
            return false;
        }
    }
    return a->timeout_s > 0.0 && a->timeout_s <= 3600.0;
}

/* Does the command line say this command, with all that it needs and no more? */
static bool matches(const struct command *c, int n, char **word, struct arguments *a)
{
    int at = 1;

    if (strcmp(c->name, word[0]) != 0) return false;
    if (c->action && (at >= n || strcmp(c->action, word[at++]) != 0)) return false;
    if (n - at != c->needs_stream + c->needs_file + (c->word != NULL) +
                      (c->without_daemon != NULL))
        return false;
    if (c->word && strcmp(c->word, word[n - 1]) != 0) return false;
    if (c->needs_stream) a->stream = word[at++];
    if (c->needs_file) a->file = word[at++];
    if (c->without_daemon) a->out = word[at];
    return true;
}

static const struct command *find_command(int argc, char **argv, struct arguments *a)
{
    for (size_t i = 0; optind < argc && i < sizeof commands / sizeof commands[0]; i++)
        if (matches(&commands[i], argc - optind, argv + optind, a)) return &commands[i];
    return NULL;
}

/* ---- one command ---- */

static int show(const struct command *command, const struct arguments *a,
                const Latent__V1__Reply *reply)
{
    if (reply->code) {
        fprintf(stderr, "latentctl: %s\n", printable(reply->text));
        return 1;
    }
    if (reply->status && a->json)
        json_print(reply->status, stdout);
    else if (reply->status && command->print)
        command->print(reply->status, stdout);
    else
        printf("%s\n", printable(reply->text));
    return 0;
}

/* The daemon works elsewhere: a path from the working folder on means nothing to it. */
static char *whole_path(const char *path, char *whole, size_t n)
{
    char folder[PATH_MAX];

    if (path[0] == '/' || !getcwd(folder, sizeof folder))
        snprintf(whole, n, "%s", path);
    else
        snprintf(whole, n, "%s/%s", folder, path);
    return whole;
}

static int run(const struct command *command, const struct arguments *a)
{
    char path[2 * PATH_MAX];
    Latent__V1__Request request = LATENT__V1__REQUEST__INIT;
    struct latent_error err = {0};
    Latent__V1__Reply *reply;
    int status;

    request.operation = command->operation;
    if (command->needs_stream) request.stream = (char *)(uintptr_t)a->stream;
    if (command->needs_file) request.path = whole_path(a->file, path, sizeof path);
    request.dry_run = a->dry_run;
    reply = client_ask(a->control, &request, (int)lrint(a->timeout_s * 1e3), &err);
    if (!reply) {
        fprintf(stderr, "latentctl: %s\n", err.text);
        return 1;
    }
    status = show(command, a, reply);
    latent__v1__reply__free_unpacked(reply, NULL);
    return status;
}

int main(int argc, char **argv)
{
    struct arguments a = {.control = DEFAULT_CONTROL, .timeout_s = 2.0};
    bool good = parse_options(argc, argv, &a);
    const struct command *command = good ? find_command(argc, argv, &a) : NULL;

    if (a.help) return fputs(usage, stdout) < 0;
    if (a.version) return printf("latentctl %s\n", LATENT_VERSION) < 0;
    if (command && command->without_daemon) return command->without_daemon(&a);
    if (command) return run(command, &a);
    fputs(usage, stderr);
    return 2;
}
