/* latentctl: ask a running latentd how it is, and tell it what to do. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "certify/certify.h"
#include "command/options.h"
#include "command/stop.h"
#include "control/ask.h"
#include "control/code.h"
#include "control/json.h"
#include "latentctl/channel_table.h"
#include "latentctl/export.h"
#include "latentctl/normalisation.h"
#include "latentctl/table.h"
#include "latentctl/why.h"
#include "latentctl/why_record.h"
#include "net/key_file.h"

#define PROGRAM "latentctl"
#define DEFAULT_CONTROL "ipc:///run/latentd/control"

/* Commands that need no latentd, beside its operations. */
enum { EXPORT = -1, KEYS = -2, CERTIFY = -3 };

static struct arguments {
    struct client_server server;
    int command; /* Latent__V1__Operation, or one of ours */
    const char *stream, *file, *out, *mask, *unmask;
    const char *seq; /* of why; as it was given, ... */
    uint64_t bin;    /* ... and as a number */
    const char *record;
    bool json, dry_run, all, force;
    const char *at;
    double timeout_s;
    struct certify_options certify;
    const char *report;
} given = {
    .server.endpoint = DEFAULT_CONTROL, .timeout_s = 2.0, .certify = {.root = "", .seconds = 60}};

/* ---- command line ---- */

static const struct option_command commands[] = {
    {"status", LATENT__V1__OPERATION__STATUS, {NULL}, "streams, ledgers, times"},
    {"model STREAM",
     LATENT__V1__OPERATION__MODEL,
     {&given.stream},
     "the model that decodes a stream"},
    {"channels STREAM",
     LATENT__V1__OPERATION__CHANNELS,
     {&given.stream},
     "its channels that are masked, dead or noisy, and why;\n"
     "with --mask, --unmask: change which are masked"},
    {"normalise STREAM freeze",
     LATENT__V1__OPERATION__NORMALISE_FREEZE,
     {&given.stream},
     "mean and sd of its input follow its bins no more"},
    {"normalise STREAM thaw",
     LATENT__V1__OPERATION__NORMALISE_THAW,
     {&given.stream},
     "they follow again"},
    {"normalise STREAM reset",
     LATENT__V1__OPERATION__NORMALISE_RESET,
     {&given.stream},
     "those of the model file again"},
    {"normalise STREAM save FILE",
     LATENT__V1__OPERATION__NORMALISE_SAVE,
     {&given.stream, &given.file},
     "keep those in use now in a new file"},
    {"normalise STREAM load FILE",
     LATENT__V1__OPERATION__NORMALISE_LOAD,
     {&given.stream, &given.file},
     "go on from those of a file; what was learnt is forgotten"},
    {"why STREAM",
     LATENT__V1__OPERATION__WHY,
     {&given.stream},
     "its last late bins, and what they waited for"},
    {"why STREAM BIN",
     LATENT__V1__OPERATION__WHY,
     {&given.stream, &given.seq},
     "the same of one bin, by its number; with --record:\n"
     "from a record, without a latentd"},
    {"reset STREAM",
     LATENT__V1__OPERATION__RESET,
     {&given.stream},
     "reset the decoder before the stream's next bin"},
    {"safe STREAM on",
     LATENT__V1__OPERATION__SAFE_ON,
     {&given.stream},
     "take the readout to neutral and hold it there"},
    {"safe STREAM off",
     LATENT__V1__OPERATION__SAFE_OFF,
     {&given.stream},
     "let go after safe-exit consecutive good bins"},
    {"safe on", LATENT__V1__OPERATION__SAFE_ON, {NULL}, "with --all: every stream, a line each"},
    {"safe off", LATENT__V1__OPERATION__SAFE_OFF, {NULL}, "with --all: as above"},
    {"record start STREAM FILE",
     LATENT__V1__OPERATION__RECORD_START,
     {&given.stream, &given.file},
     "record the whole stream into a new file; %Y %m %d\n"
     "%H %M %S in its name become the time in UTC"},
    {"record stop STREAM",
     LATENT__V1__OPERATION__RECORD_STOP,
     {&given.stream},
     "complete the record"},
    {"shadow STREAM FILE",
     LATENT__V1__OPERATION__SHADOW,
     {&given.stream, &given.file},
     "run another model beside the one in use and compare\n"
     "them: status tells"},
    {"promote STREAM",
     LATENT__V1__OPERATION__PROMOTE,
     {&given.stream},
     "it takes the place of the one in use, between two bins"},
    {"load STREAM FILE",
     LATENT__V1__OPERATION__LOAD,
     {&given.stream, &given.file},
     "shadow, and promote as soon as it is warm"},
    {"rollback STREAM",
     LATENT__V1__OPERATION__ROLL_BACK,
     {&given.stream},
     "back to the decoder before the last promotion"},
    {"drop STREAM",
     LATENT__V1__OPERATION__DROP,
     {&given.stream},
     "end what runs beside the decoder in use"},
    {"reload",
     LATENT__V1__OPERATION__RELOAD,
     {NULL},
     "read the configuration anew: clients, their keys and\n"
     "roles, policies of streams, streams that come or\n"
     "leave, on loops of their own; what else differs is\n"
     "refused"},
    {"export RECORD OUT.h5",
     EXPORT,
     {&given.file, &given.out},
     "a record as HDF5: bins, frames, outcomes, actions;\n"
     "needs no latentd"},
    {"certify CONFIG",
     CERTIFY,
     {&given.certify.config},
     "is this machine good for this configuration? Needs no\n"
     "latentd: it runs one of its own"},
    {"keys FILE",
     KEYS,
     {&given.file},
     "make a pair of keys: FILE for everybody, FILE_secret\n"
     "for its owner alone; needs no latentd"},
    {0},
};

static const struct option_row rows[] = {
    OPTION_TEXT("control", "ENDPOINT", &given.server.endpoint, "where latentd listens"),
    OPTION_TEXT("key", "FILE", &given.server.own_key_path,
                "your FILE_secret, where the endpoint is encrypted"),
    OPTION_TEXT("server-key", "FILE", &given.server.server_key_path,
                "latentd's public key: nobody else is asked; goes\nwith --key"),
    OPTION_SWITCH("json", &given.json, "print the answer as JSON"),
    OPTION_TEXT("record", "FILE", &given.record, "of why: look there, not at a running latentd"),
    OPTION_SWITCH("all", &given.all,
                  "of safe: every stream, instead of one; of channels:\nthose that are well, too"),
    OPTION_SWITCH("force", &given.force, "of promote, load, shadow: whatever speaks against it"),
    OPTION_TEXT("at", "next-bin|trial", &given.at,
                "of promote, load: though a trial runs, or (default) not\nwithin one"),
    OPTION_TEXT("mask", "LIST", &given.mask,
                "channels: read these as their training mean, like\n3,17,40-43 (from 0)"),
    OPTION_TEXT("unmask", "LIST", &given.unmask, "channels: read these as they come again"),
    OPTION_SWITCH("dry-run", &given.dry_run, "check and answer, but change nothing"),
    OPTION_NUMBER("timeout", "SECONDS", &given.timeout_s, 0.001, 3600,
                  "wait this long for an answer (default: 2)"),
    OPTION_NUMBER("seconds", "SECONDS", &given.certify.seconds, 0, 86400,
                  "certify: of each measurement (default: 60); 0: only\nfacts"),
    OPTION_SWITCH("load", &given.certify.load,
                  "certify: with programs of its own on the other cores"),
    OPTION_TEXT(
        "report", "FILE", &given.report,
        "certify: write all of it there, with histograms: as\nHTML (FILE.html) or Markdown"),
    OPTION_TEXT("root", "FOLDER", &given.certify.root,
                "certify: read proc and sys of another machine there"),
    {0},
};

static const struct option_table table = {
    .program = PROGRAM,
    .purpose = "ask a running latentd, and tell it what to do",
    .usage = "[OPTION...] COMMAND",
    .rows = rows,
    .commands = commands,
    .notes = "Exit: 0 done; 1 no answer, or refused by latentd; 2 a mistake in the command\n"
             "line; 3 NOT DONE: latentd has not carried it out in time. certify: 0 certified;\n"
             "1 not; 2 it could not be measured.\n"};

static bool is_safe(void)
{
    return given.command == LATENT__V1__OPERATION__SAFE_ON ||
           given.command == LATENT__V1__OPERATION__SAFE_OFF;
}

/* A whole number, and nothing else. */
static bool bin_read(struct arguments *a)
{
    char *end;

    errno = 0;
    a->bin = strtoull(a->seq, &end, 10);
    return a->seq[0] >= '0' && a->seq[0] <= '9' && *end == '\0' && errno == 0;
}

static int arguments_read(int argc, char **argv, struct latent_error *err)
{
    int status = options_read(&table, argc, argv, &given.command, err);

    if (status == OPTIONS_RUN && given.all && given.command != LATENT__V1__OPERATION__CHANNELS &&
        (!is_safe() || given.stream))
        return options_refuse(&table, err,
                              "--all goes with safe on and safe off, without a STREAM, and "
                              "with channels");
    if (status == OPTIONS_RUN && (given.mask || given.unmask) &&
        given.command != LATENT__V1__OPERATION__CHANNELS)
        return options_refuse(&table, err, "--mask and --unmask go with channels STREAM");
    if (status == OPTIONS_RUN && is_safe() && !given.all && !given.stream)
        return options_refuse(&table, err, "STREAM or --all is missing");
    if (status == OPTIONS_RUN && given.at && strcmp(given.at, "next-bin") != 0 &&
        strcmp(given.at, "trial") != 0)
        return options_refuse(&table, err, "--at %s: expected next-bin or trial", given.at);
    if (status == OPTIONS_RUN && given.record && given.command != LATENT__V1__OPERATION__WHY)
        return options_refuse(&table, err, "--record goes with why STREAM");
    if (status == OPTIONS_RUN && given.seq && !bin_read(&given))
        return options_refuse(&table, err, "why: %s: expected the number of a bin", given.seq);
    if (status == OPTIONS_RUN && !given.server.own_key_path != !given.server.server_key_path)
        return options_refuse(&table, err, "--key and --server-key go together");
    return status;
}

/* ---- one command ---- */

static int keys_make(const struct arguments *a, struct latent_error *err)
{
    int status = key_file_make(a->file, err);

    if (status) return status;
    printf("%s: public, for those who are to know its owner\n"
           "%s_secret: for its owner alone\n",
           a->file, a->file);
    return 0;
}

/* An answer without anything but its text. */
static enum program_exit answer_show(int code, char *text)
{
    if (code == CONTROL_DONE)
        printf("%s\n", printable(text));
    else
        fprintf(stderr, PROGRAM ": %s\n", printable(text));
    if (code == CONTROL_NOT_DONE) return PROGRAM_NOT_DONE;
    return code == CONTROL_DONE ? PROGRAM_DONE : PROGRAM_FAILED;
}

/* The exit code is the worst. */
static enum program_exit answers_show(const Latent__V1__Reply *reply)
{
    enum program_exit worst = PROGRAM_DONE;

    for (size_t i = 0; i < reply->n_streams; i++) {
        enum program_exit code = answer_show(reply->streams[i]->code, reply->streams[i]->text);

        if (code > worst) worst = code;
    }
    return worst;
}

static enum program_exit machine_certify(const struct arguments *a)
{
    struct certificate certificate;
    struct latent_error err = {0};
    int status;

    stop_install();
    status = certify(&certificate, &a->certify, &err);
    if (status == 0) {
        if (a->json)
            certificate_print_json(&certificate, stdout);
        else
            certificate_print(&certificate, stdout);
        if (a->report) status = certificate_write(&certificate, a->report, &err);
    }
    if (status == 0 && !certificate.is_measured)
        status = PROGRAM_MISUSED;
    else if (status == 0)
        status = certificate_holds(&certificate) ? PROGRAM_DONE : PROGRAM_FAILED;
    else
        status = options_fail(PROGRAM, PROGRAM_MISUSED, &err);
    certificate_free(&certificate);
    return (enum program_exit)status;
}

static enum program_exit late_bins_show(const struct arguments *a, const Latent__V1__Why *w)
{
    if (a->json)
        why_print_json(w, stdout);
    else if (a->seq && w->n_bins == 1)
        why_print_bin(printable(w->stream), w->bins[0], stdout);
    else
        why_print_table(w, stdout);
    return PROGRAM_DONE;
}

/* Its file. */
static enum program_exit normalisation_keep(const struct arguments *a,
                                            const Latent__V1__Normalisation *m)
{
    struct latent_error err = {0};

    if (normalisation_write(a->file, a->stream, m, &err))
        return (enum program_exit)options_fail(PROGRAM, PROGRAM_FAILED, &err);
    printf("%s: mean and sd of %zu channels, version %u, kept in %s\n", a->stream, m->n_mean,
           m->version, a->file);
    return PROGRAM_DONE;
}

static enum program_exit reply_show(const struct arguments *a, const Latent__V1__Reply *reply)
{
    if (reply->n_streams) return answers_show(reply);
    if (reply->code == CONTROL_DONE && reply->why) return late_bins_show(a, reply->why);
    if (reply->code == CONTROL_DONE && reply->normalisation)
        return normalisation_keep(a, reply->normalisation);
    if (reply->code || !reply->status) return answer_show(reply->code, reply->text);
    if (a->json)
        json_print(reply->status, stdout);
    else if (a->command == LATENT__V1__OPERATION__STATUS)
        table_print(reply->status, stdout);
    else if (a->command == LATENT__V1__OPERATION__CHANNELS)
        channel_table_print(reply->status, a->all, stdout);
    else
        table_print_model(reply->status, stdout);
    return PROGRAM_DONE;
}

/* The daemon works elsewhere: a relative path means nothing to it. */
static char *path_absolute(const char *path, char *absolute, size_t n)
{
    char folder[PATH_MAX];

    if (path[0] == '/' || !getcwd(folder, sizeof folder))
        snprintf(absolute, n, "%s", path);
    else
        snprintf(absolute, n, "%s/%s", folder, path);
    return absolute;
}

static enum program_exit latentd_ask(const struct arguments *a)
{
    char path[2 * PATH_MAX];
    Latent__V1__Request request = LATENT__V1__REQUEST__INIT;
    Latent__V1__Normalisation normalisation = LATENT__V1__NORMALISATION__INIT;
    struct latent_error err = {0};
    Latent__V1__Reply *reply;
    enum program_exit status;

    request.operation = (Latent__V1__Operation)a->command;
    if (a->stream) request.stream = (char *)(uintptr_t)a->stream;
    if (a->file) request.path = path_absolute(a->file, path, sizeof path);
    if (a->mask || a->unmask) request.operation = LATENT__V1__OPERATION__MASK;
    if (a->mask) request.mask = (char *)(uintptr_t)a->mask;
    if (a->unmask) request.unmask = (char *)(uintptr_t)a->unmask;
    request.has_seq = a->seq != NULL;
    request.seq = a->bin;
    if (a->command == LATENT__V1__OPERATION__NORMALISE_LOAD) {
        if (normalisation_read(a->file, &normalisation, &err))
            return options_fail(PROGRAM, PROGRAM_FAILED, &err);
        request.normalisation = &normalisation;
    }
    request.dry_run = a->dry_run;
    request.all = a->all;
    request.force = a->force;
    request.at_next_bin = a->at && strcmp(a->at, "next-bin") == 0;
    reply = client_ask(&a->server, &request, (int)lrint(a->timeout_s * 1e3), &err);
    free(normalisation.mean);
    free(normalisation.sd);
    if (!reply) return options_fail(PROGRAM, PROGRAM_FAILED, &err);
    status = reply_show(a, reply);
    latent__v1__reply__free_unpacked(reply, NULL);
    return status;
}

static enum program_exit record_ask(const struct arguments *a)
{
    const struct why_record_wish wish = {.record = a->record,
                                         .stream = a->stream,
                                         .has_bin = a->seq != NULL,
                                         .bin = a->bin,
                                         .json = a->json};
    struct latent_error err = {0};

    if (why_record_show(&wish, &err) == 0) return PROGRAM_DONE;
    return options_fail(PROGRAM, PROGRAM_FAILED, &err);
}

int main(int argc, char **argv)
{
    struct latent_error err = {0};
    int status = arguments_read(argc, argv, &err);

    if (status == OPTIONS_DONE) return PROGRAM_DONE;
    if (status) return options_fail(PROGRAM, PROGRAM_MISUSED, &err);
    if (given.command == CERTIFY) return machine_certify(&given);
    if (given.record) return record_ask(&given);
    if (given.command != EXPORT && given.command != KEYS) return latentd_ask(&given);
    if (given.command == EXPORT)
        status = export_record(given.file, given.out, &err);
    else
        status = keys_make(&given, &err);
    return status ? options_fail(PROGRAM, PROGRAM_FAILED, &err) : PROGRAM_DONE;
}
