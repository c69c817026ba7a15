/* latent-replay: a recording as the daemon's input. */
#include <stdio.h>

#include "base/text.h"
#include "command/options.h"
#include "data/recording.h"
#include "latent-replay/replay.h"
#include "latent-replay/resend.h"
#include "latent-replay/verify.h"
#include "wire.h"

#define PROGRAM "latent-replay"

struct settings {
    struct reader_options input;
    struct replay_options replay;
    double seconds;
    const char *record, *verify, *model;
};

static bool has_input(const struct settings *s)
{
    const struct reader_options *in = &s->input;
    return in->in || in->ticks || in->units || in->good || s->replay.loop || s->seconds > 0.0;
}

/* What is sent, and where; a record is only verified, or sent as it came. */
static const char *settings_mistake(const struct settings *s)
{
    const struct source_options *o = &s->replay.source;
    if (s->model && !s->verify) return "--model goes with --verify";
    if (s->verify && (s->record || has_input(s) || o->stream || o->endpoint))
        return "--verify takes no other option than --model";
    if (s->verify) return NULL;
    if (s->record && has_input(s))
        return "--record sends a whole record once: without --in, --ticks, --loop and --seconds";
    if (!s->record && !s->input.in && !s->input.ticks)
        return "--in, --ticks, --record or --verify is missing";
    if (!o->stream) return "--stream is missing";
    if (!o->endpoint) return "--bins is missing";
    return NULL;
}

/* With --ticks, --seconds is the part of the recording; else it may span its rounds. */
static int settings_check(const struct option_table *table, struct settings *s,
                          struct latent_error *err)
{
    const char *mistake = settings_mistake(s);
    int status = 0;
    if (mistake) return options_refuse(table, err, "%s", mistake);
    if (s->verify) return 0;
    if (!s->record) status = reader_check(&s->input, err);
    if (!status) status = source_check(&s->replay.source, err);
    if (status) return options_refuse(table, err, "%s", err->text);
    if (s->input.ticks)
        s->input.seconds = s->seconds;
    else
        s->replay.seconds = s->seconds;
    return 0;
}

static int settings_read(struct settings *s, int argc, char **argv, struct latent_error *err)
{
    struct reader_options *in = &s->input;
    struct source_options *o = &s->replay.source;
    const struct option_row rows[] = {
        READER_ROWS(in),
        OPTION_TEXT("record", "RECORD", &s->record,
                    "instead of --in: the messages of a record of latentd,\nas they came"),
        SOURCE_ROWS(o),
        OPTION_NUMBER("seconds", "N", &s->seconds, 0, OPTION_ANY_NUMBER,
                      "how much to send; with --ticks: of each round\n(default: all)"),
        OPTION_NUMBER("stop-after", "N", &o->stop_after_s, 0, OPTION_ANY_NUMBER,
                      "stop when this many seconds have passed"),
        OPTION_SWITCH("loop", &s->replay.loop, "begin again at the end"),
        OPTION_SWITCH("mark-loop", &s->replay.mark_loop, "every round opens with a trial_start"),
        OPTION_TEXT("verify", "RECORD", &s->verify,
                    "run a record of latentd once more and compare every\nframe"),
        OPTION_TEXT("model", "FILE", &s->model,
                    "with --verify: the model file, if it has been moved"),
        {0},
    };
    const struct option_table table = {
        .program = PROGRAM,
        .purpose = "send a recording, or verify a record",
        .usage = "--in FILE:/DATASET --stream NAME --bins ENDPOINT ...\n"
                 "       " PROGRAM " --ticks FILE:/DATASET --units FILE:/DATASET\n"
                 "           --bin-ms MS --stream NAME --bins ENDPOINT ...\n"
                 "       " PROGRAM " --record RECORD --stream NAME --bins ENDPOINT ...\n"
                 "       " PROGRAM " --verify RECORD [--model FILE]",
        .rows = rows,
        .notes =
            "Exit: 0 done; 1 a file or an endpoint is not as it must be, or a record verifies\n"
            "as different; 2 a mistake in the command line.\n"};
    int status = options_read(&table, argc, argv, NULL, err);
    return status == OPTIONS_RUN ? settings_check(&table, s, err) : status;
}

static int replay(const struct settings *settings, struct latent_error *err)
{
    struct reader *reader = NULL;
    if (settings->record) return resend_run(settings->record, &settings->replay.source, err);
    int status = reader_open(&reader, &settings->input, err);
    if (!status) status = replay_run(reader, &settings->replay, err);
    reader_close(reader);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .replay.source = {.program = PROGRAM, .socket = "auto", .attach = "connect", .batch = 1}};
    struct latent_error err = {0};
    int status = settings_read(&settings, argc, argv, &err);
    if (status == OPTIONS_DONE) return PROGRAM_DONE;
    if (status) return options_fail(PROGRAM, PROGRAM_MISUSED, &err);
    if (settings.verify)
        status = verify_run(settings.verify, settings.model, &err);
    else
        status = replay(&settings, &err);
    if (status < 0) return options_fail(PROGRAM, PROGRAM_FAILED, &err);
    if (status == VERIFY_OTHER_CONTRACT) return VERIFY_OTHER_CONTRACT;
    return status == VERIFY_DIFFERENT ? PROGRAM_FAILED : PROGRAM_DONE;
}
