/* latentctl: ask a running latentd how it is, and tell it what to do. */
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "control/ask.h"
#include "control/code.h"
#include "control/json.h"
#include "latentctl/export.h"
#include "latentctl/table.h"
#include "net/key_file.h"

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
    "       latentctl keys FILE\n"
    "\n"
    "  status              streams, ledgers, times\n"
    "  model STREAM        the model that decodes a stream\n"
    "  reset STREAM        reset the decoder before the stream's next bin\n"
    "  safe STREAM on      take the readout to neutral and hold it there\n"
    "  safe STREAM off     hold it no longer: as many good bins as safe-exit says end it\n"
    "  record start STREAM FILE\n"
    "                      record everything of the stream into a new file; %Y, %m, %d,\n"
    "                      %H, %M, %S in its name become the time, UTC\n"
    "  record stop STREAM  complete the file\n"
    "  export RECORD OUT.h5\n"
    "                      a record as HDF5: bins, frames, outcomes, actions; needs no\n"
    "                      latentd\n"
    "  keys FILE           make a pair of keys: FILE for everybody, FILE_secret for its owner\n"
    "                      alone; needs no latentd\n"
    "\n"
    "  --control ENDPOINT  where latentd listens (default: " DEFAULT_CONTROL ")\n"
    "  --key FILE          one's own FILE_secret, for a control endpoint that is encrypted\n"
    "  --server-key FILE   latentd's public key: nobody else is asked; goes with --key\n"
    "  --json              for programs\n"
    "  --dry-run           check and answer, change nothing\n"
    "  --timeout SECONDS   wait this long for an answer (default: 2)\n"
    "  --help, --version\n"
    "\n"
    "Exit: 0 done; 1 no answer, or refused by latentd; 2 a mistake in the command line;\n"
    "3 NOT DONE: latentd has not carried it out in time.\n";

struct arguments {
    struct client_server server;
    const char *command, *stream, *file, *out;
    bool json, dry_run, help, version;
    double timeout_s;
};

struct command {
    const char *name, *action, *word; /* action: the next word, word: the last; or NULL */
    Latent__V1__Operation operation;
    bool needs_stream, needs_file, needs_out;
    void (*print)(const Latent__V1__Status *status, FILE *out);
    int (*without_daemon)(const struct arguments *a);
};

static int export(const struct arguments *a)
{
    struct latent_error err = {0};

    if (export_record(a->file, a->out, &err) == 0) return 0;
    fprintf(stderr, "latentctl: %s\n", printable(err.text));
    return 1;
}

static int make_keys(const struct arguments *a)
{
    struct latent_error err = {0};

    if (key_file_make(a->file, &err) == 0)
        return printf("%s: public, for those who are to know its owner\n"
                      "%s_secret: for its owner alone\n",
                      a->file, a->file) < 0;
    fprintf(stderr, "latentctl: %s\n", printable(err.text));
    return 1;
}

static const struct command commands[] = {
    {.name = "status", .operation = LATENT__V1__OPERATION__STATUS, .print = table_print},
    {.name = "model",
     .operation = LATENT__V1__OPERATION__MODEL,
     .needs_stream = true,
     .print = table_print_model},
    {.name = "reset", .operation = LATENT__V1__OPERATION__RESET, .needs_stream = true},
    {.name = "safe",
     .word = "on",
     .operation = LATENT__V1__OPERATION__SAFE_ON,
     .needs_stream = true},
    {.name = "safe",
     .word = "off",
     .operation = LATENT__V1__OPERATION__SAFE_OFF,
     .needs_stream = true},
    {.name = "record",
     .action = "start",
     .operation = LATENT__V1__OPERATION__RECORD_START,
     .needs_stream = true,
     .needs_file = true},
    {.name = "record",
     .action = "stop",
     .operation = LATENT__V1__OPERATION__RECORD_STOP,
     .needs_stream = true},
    {.name = "export", .needs_file = true, .needs_out = true, .without_daemon = export},
    {.name = "keys", .needs_file = true, .without_daemon = make_keys},
};

/* ---- command line ---- */

static bool parse_options(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {{"control", required_argument, NULL, 'c'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"server-key", required_argument, NULL, 's'},
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
            a->server.endpoint = optarg;
            break;
        case 'k':
            a->server.own_key_path = optarg;
            break;
        case 's':
            a->server.server_key_path = optarg;
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
    if (n - at != c->needs_stream + c->needs_file + c->needs_out + (c->word != NULL)) return false;
    if (c->word && strcmp(c->word, word[n - 1]) != 0) return false;
    if (c->needs_stream) a->stream = word[at++];
    if (c->needs_file) a->file = word[at++];
    if (c->needs_out) a->out = word[at];
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
        return reply->code == CONTROL_NOT_DONE ? 3 : 1;
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
    reply = client_ask(&a->server, &request, (int)lrint(a->timeout_s * 1e3), &err);
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
    struct arguments a = {.server.endpoint = DEFAULT_CONTROL, .timeout_s = 2.0};
    bool good = parse_options(argc, argv, &a);
    const struct command *command = good ? find_command(argc, argv, &a) : NULL;

    if (a.help) return fputs(usage, stdout) < 0;
    if (a.version) return printf("latentctl %s\n", LATENT_VERSION) < 0;
    if (command && command->without_daemon) return command->without_daemon(&a);
    if (command) return run(command, &a);
    fputs(usage, stderr);
    return 2;
}
