/* latent-replay: a recording as the daemon's input. */
#include <stdio.h>

#include "reader/reader.h"
#include "replay/replay.h"
#include "tool/error.h"
#include "tool/options.h"

#define PROGRAM "latent-replay"

struct settings {
    struct reader_options input;
    struct replay_options replay;
    double seconds;
};

/* With --ticks, --seconds is the part of the recording; else it may span its rounds. */
static int settings_check(struct settings *s, struct latent_error *err)
{
    struct source_options *o = &s->replay.source;
    if (!o->stream || !o->endpoint)
        return tool_error(err, LATENT_E_CONFIG,
                          "--stream and --bins are needed: see --help");
    if (s->input.ticks)
        s->input.seconds = s->seconds;
    else
        s->replay.seconds = s->seconds;
    return 0;
}

static int settings_read(struct settings *s, int argc, char **argv,
                         struct latent_error *err)
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
        {"loop", NULL, OPTION_SWITCH, &s->replay.loop, "begin again at the end"},
        {"mark-loop", NULL, OPTION_SWITCH, &s->replay.mark_loop,
         "every round opens with a trial_start"},
        {"full-speed", NULL, OPTION_SWITCH, &o->full_speed,
         "as fast as the bins are taken"},
        {"batch", "N", OPTION_WHOLE, &o->batch, "bins per message (default 1)"},
        {"start-after-subscriber", NULL, OPTION_SWITCH, &o->after_subscriber,
         "the first bin waits for a receiver"},
        {0},
    };
    const struct option_table table = {
        PROGRAM, "send a recording, at true pace",
        PROGRAM " --in FILE.h5:/dataset --stream NAME --bins ENDPOINT ...\n"
                "       " PROGRAM " --ticks FILE.h5:/dataset --units FILE.h5:/dataset "
                "--bin-ms B --stream NAME --bins ENDPOINT ...",
        rows};
    int status = options_parse(&table, argc, argv, err);
    return status == OPTIONS_RUN ? settings_check(s, err) : status;
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .replay.source = {
            .program = PROGRAM, .socket = "push", .attach = "connect", .batch = 1}};
    struct reader *reader = NULL;
    struct latent_error err;
    int status = settings_read(&settings, argc, argv, &err);
    if (status == OPTIONS_DONE) return 0;
    if (!status) status = reader_open(&reader, &settings.input, &err);
    if (!status) status = replay_run(reader, &settings.replay, &err);
    reader_close(reader);
    if (status) fprintf(stderr, PROGRAM ": %s\n", err.text);
    return status ? 1 : 0;
}
