/* latent-replay: a recording as the daemon's input. */
#include <stdio.h>

#include "base/text.h"
#include "command/options.h"
#include "data/recording.h"
#include "latent-replay/replay.h"
#include "latent-replay/resend.h"
#include "latent-replay/verify.h"

#define PROGRAM "latent-replay"

struct settings {
    struct reader_options input;
    struct replay_options replay;
    double seconds;
    const char *record, *verify, *model;
};

/* With --ticks, --seconds is the part of the recording; else it may span its rounds. */
static int settings_check(struct settings *s, struct latent_error *err)
{
    struct source_options *o = &s->replay.source;
    if (s->model && !s->verify)
        return error_text(err, LATENT_E_CONFIG, "--model goes with --verify");
    if (s->verify) return 0;
    if (s->record && (s->input.in || s->input.ticks || s->replay.loop || s->seconds > 0.0))
        return error_text(err, LATENT_E_CONFIG,
                          "--record sends a record once and whole: without --in, "
                          "--ticks, --loop and --seconds");
    if (!o->stream || !o->endpoint)
        return error_text(err, LATENT_E_CONFIG, "--stream and --bins are needed: see --help");
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
        READER_OPTION_ROWS(in),
        {"seconds", "N", OPTION_NUMBER, &s->seconds,
         "how much to send, with --ticks: of each round (default: all)"},
        {"stop-after", "N", OPTION_NUMBER, &o->stop_after_s,
         "stop when this many seconds have passed"},
        {"stream", "NAME", OPTION_TEXT, &o->stream, "send as NAME/bins"},
        {"bins", "ENDPOINT", OPTION_TEXT, &o->endpoint, "where the bins go"},
        {"socket", "KIND", OPTION_TEXT, &o->socket, "push (default) or pub"},
        {"attach", "HOW", OPTION_TEXT, &o->attach, "connect (default) or bind"},
        SOURCE_KEY_ROWS(o),
        {"loop", NULL, OPTION_SWITCH, &s->replay.loop, "begin again at the end"},
        {"mark-loop", NULL, OPTION_SWITCH, &s->replay.mark_loop,
         "every round opens with a trial_start"},
        {"full-speed", NULL, OPTION_SWITCH, &o->full_speed, "as fast as the bins are taken"},
        {"batch", "N", OPTION_WHOLE, &o->batch, "bins per message (default 1)"},
        {"start-after-subscriber", NULL, OPTION_SWITCH, &o->after_subscriber,
         "the first bin waits for a receiver"},
        {"record", "RECORD", OPTION_TEXT, &s->record,
         "send the messages of a record of latentd, as they came"},
        {"verify", "RECORD", OPTION_TEXT, &s->verify,
         "run a record of latentd once more and compare every frame"},
        {"model", "FILE", OPTION_TEXT, &s->model,
         "with --verify: the model file, if it has been moved"},
        {0},
    };
    const struct option_table table = {
        PROGRAM, "send a recording, at true pace",
        PROGRAM " --in FILE.h5:/dataset --stream NAME --bins ENDPOINT ...\n"
                "       " PROGRAM " --ticks FILE.h5:/dataset --units FILE.h5:/dataset "
                "--bin-ms B --stream NAME --bins ENDPOINT ...\n"
                "       " PROGRAM " --record RECORD --stream NAME --bins ENDPOINT ...\n"
                "       " PROGRAM " --verify RECORD [--model FILE]",
        rows};
    int status = options_parse(&table, argc, argv, err);
    return status == OPTIONS_RUN ? settings_check(s, err) : status;
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
        .replay.source = {.program = PROGRAM, .socket = "push", .attach = "connect", .batch = 1}};
    struct latent_error err = {0};
    int status = settings_read(&settings, argc, argv, &err);
    if (status == OPTIONS_DONE) return 0;
    if (!status)
        status = settings.verify ? verify_run(settings.verify, settings.model, &err)
                                 : replay(&settings, &err);
    if (status < 0) fprintf(stderr, PROGRAM ": %s\n", err.text);
    return status ? 1 : 0;
}
