/* Configuration, model, decoder, line: as latentd makes them, from the record. */
#include "latent-replay/again.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/read.h"
#include "setup/setup.h"

/* Nobody looked at what the configuration does not name yet. */
static void forget_newer(struct conf_stream_section *s)
{
    if (!conf_is_given(&s->lines, CONF_STREAM, "on-silent")) s->values.on_silent = ON_SILENT_OFF;
    if (!conf_is_given(&s->lines, CONF_STREAM, "max-jump-ms")) s->values.max_jump_ns = 0;
}

static int read_conf(struct again *a, struct reading *r, struct latent_error *err)
{
    const char *text = reading_text(r, "config");

    if (!text) return error_text(err, LATENT_E_FORMAT, "the record has no configuration");
    if (conf_read_text(&a->conf, "(record)/configuration", text))
        return error_text(err, LATENT_E_CONFIG,
                          "the record's configuration is not one of this version: %s",
                          a->conf.problems[0]);
    if (a->conf.n_streams == 1) {
        a->contract = reading_whole(r, "contract") ? (uint32_t)reading_whole(r, "contract") : 1;
        a->conf.streams[0].values.contract = a->contract;
        forget_newer(&a->conf.streams[0]);
        if (a->contract <= LINE_CONTRACT) return 0;
        return error_text(err, LATENT_E_UNSUPPORTED,
                          "the record follows contract %u; this version knows those up to %d",
                          a->contract, LINE_CONTRACT);
    }
    return error_text(err, LATENT_E_FORMAT,
                      "the record's configuration has %zu streams, expected 1", a->conf.n_streams);
}

static int check_hash(const struct again *a, struct reading *r, struct latent_error *err)
{
    char found[2 * sizeof a->info.sha256 + 1];
    const char *expected = reading_text(r, "model_sha256");

    for (size_t i = 0; i < sizeof a->info.sha256; i++)
        snprintf(found + 2 * i, 3, "%02x", a->info.sha256[i]);
    if (expected && strcmp(expected, found) == 0) return 0;
    return error_text(err, LATENT_E_CONFIG,
                      "%s is not the model of the record: expected SHA-256 %s, found "
                      "%s; name the right file with --model",
                      a->info.path, expected ? expected : "(none)", found);
}

static int open_model(struct again *a, struct reading *r, const char *path,
                      struct latent_error *err)
{
    char *recorded = NULL;
    int status;

    if (!path) {
        const char *text = reading_text(r, "model_path");
        path = recorded = strdup(text ? text : "");
    }
    status = path ? latent_model_open(&a->model, path, err)
                  : error_text(err, LATENT_E_NOMEM, "out of memory");
    free(recorded);
    if (status) return status;
    latent_model_info(a->model, &a->info);
    return check_hash(a, r, err);
}

static int open_decoder(struct again *a, struct reading *r, struct latent_error *err)
{
    const struct latent_options options = setup_decoder(&a->conf.streams[0].values);
    const char *expected = reading_text(r, "decoder_id");
    int status = latent_decoder_new(&a->decoder, a->model, &options, err);
    char found[32];

    if (status) return status;
    snprintf(found, sizeof found, "%016" PRIx64, latent_decoder_id(a->decoder));
    if (expected && strcmp(expected, found) == 0) return 0;
    return error_text(err, LATENT_E_CONFIG, "decoder %s, the record's is %s", found,
                      expected ? expected : "(none)");
}

/* A record from before models said what they take: any finite value was taken then. */
static bool is_before_kinds(struct reading *r)
{
    return reading_text(r, "input") == NULL;
}

int again_open(struct again *a, struct reading *r, const char *model_path, struct line_clock clock,
               struct line_sink sink, struct latent_error *err)
{
    struct line_options options;
    const char *clock_id;
    int status;

    *a = (struct again){0};
    status = read_conf(a, r, err);
    if (!status) status = open_model(a, r, model_path, err);
    if (!status) status = open_decoder(a, r, err);
    if (status) return status;
    clock_id = reading_text(r, "clock_id");
    options =
        setup_line(&a->conf.streams[0], &a->info, clock_id ? strtoull(clock_id, NULL, 16) : 0);
    options.any_finite = is_before_kinds(r);
    if (line_new(&a->line, a->decoder, &a->info, &options, clock, sink) == 0) return 0;
    return error_text(err, LATENT_E_NOMEM, "out of memory");
}

void again_close(struct again *a)
{
    line_free(a->line);
    latent_decoder_free(a->decoder);
    latent_model_close(a->model);
    conf_free(&a->conf);
}
