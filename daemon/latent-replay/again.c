/* Configuration, model, decoder, line: as latentd makes them, from the record. */
#include "latent-replay/again.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/read.h"
#include "record/hex.h"
#include "setup/setup.h"

/* Nobody looked at what the configuration does not name yet. */
static void forget_newer(struct conf_stream_section *s)
{
    if (!conf_is_given(&s->lines, CONF_STREAM, "on-silent")) s->values.on_silent = ON_SILENT_OFF;
    if (!conf_is_given(&s->lines, CONF_STREAM, "max-jump-ms")) s->values.max_jump_ns = 0;
    if (!conf_is_given(&s->lines, CONF_STREAM, "source-clock"))
        s->values.source_clock = SOURCE_CLOCK_OFF;
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
    char found[HEX_SHA256_BYTES];
    const char *expected = reading_text(r, "model_sha256");

    hex_of_sha256(found, a->info.sha256);
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
    if (line_new(&a->line, a->decoder, &a->info, &options, clock, sink))
        return error_text(err, LATENT_E_NOMEM, "out of memory");
    a->first = line_decoder(a->line);
    return 0;
}

/* ---- those that are promoted ---- */

static int check_promoted(const struct label *label, const struct latent_info *info,
                          struct latent_error *err)
{
    char expected[HEX_SHA256_BYTES], found[HEX_SHA256_BYTES];

    if (memcmp(info->sha256, label->sha256, sizeof label->sha256) == 0) return 0;
    hex_of_sha256(expected, label->sha256);
    hex_of_sha256(found, info->sha256);
    return error_text(err, LATENT_E_CONFIG,
                      "%.200s is not the model that was promoted: expected SHA-256 %s, found %s; "
                      "put the right file there",
                      label->path, expected, found);
}

/* One that is open already, or the file that the label names. */
static int open_promoted(struct again *a, const struct label *label, struct again_decoder *d,
                         const latent_model **model, struct latent_info *info,
                         struct latent_error *err)
{
    int status;

    *model = a->model;
    *info = a->info;
    if (memcmp(info->sha256, label->sha256, sizeof label->sha256) == 0) return 0;
    for (size_t i = 0; i < a->n_decoders; i++) {
        *model = a->decoders[i].model;
        *info = a->decoders[i].seat->info;
        if (*model && memcmp(info->sha256, label->sha256, sizeof label->sha256) == 0) return 0;
    }
    status = latent_model_open(&d->model, label->path, err);
    if (status) return status;
    *model = d->model;
    latent_model_info(d->model, info);
    return check_promoted(label, info, err);
}

static int make_promoted(struct again *a, const struct label *label, struct again_decoder *d,
                         struct latent_error *err)
{
    struct latent_options options = setup_decoder(&a->conf.streams[0].values);
    const struct line_policy policy = setup_line(&a->conf.streams[0], &a->info, 0).policy;
    const latent_model *model = NULL;
    struct latent_info info;
    int status = open_promoted(a, label, d, &model, &info, err);

    options.mode = label->mode;
    options.precision = label->precision;
    options.session = label->session[0] ? label->session : NULL;
    options.groups = label->groups;
    if (!status) status = line_may_follow(&a->info, &info, &policy, err);
    if (!status) status = latent_decoder_new(&d->decoder, model, &options, err);
    if (status) return status;
    if (latent_decoder_id(d->decoder) != label->decoder_id)
        return error_text(err, LATENT_E_CONFIG,
                          "%.200s gives decoder %016" PRIx64 ", the record's is %016" PRIx64,
                          label->path, latent_decoder_id(d->decoder), label->decoder_id);
    if (line_decoder_new(&d->seat, d->decoder, &info))
        return error_text(err, LATENT_E_NOMEM, "out of memory");
    return 0;
}

static void free_promoted(struct again_decoder *d)
{
    line_decoder_free(d->seat);
    latent_decoder_free(d->decoder);
    latent_model_close(d->model);
}

/* Of this label, and not in use: a file may be promoted after itself. */
static bool is_spare(const struct again *a, const struct line_decoder *seat,
                     const struct label *label)
{
    return seat != line_decoder(a->line) && seat->decoder_id == label->decoder_id;
}

struct line_decoder *again_find(struct again *a, const struct label *label,
                                struct latent_error *err)
{
    size_t n = a->n_decoders;
    struct again_decoder *all;

    if (is_spare(a, a->first, label)) return a->first;
    for (size_t i = 0; i < n; i++)
        if (is_spare(a, a->decoders[i].seat, label)) return a->decoders[i].seat;
    all = realloc(a->decoders, (n + 1) * sizeof *all);
    if (!all) {
        error_text(err, LATENT_E_NOMEM, "out of memory");
        return NULL;
    }
    a->decoders = all;
    all[n] = (struct again_decoder){0};
    if (make_promoted(a, label, &all[n], err)) {
        free_promoted(&all[n]);
        return NULL;
    }
    a->n_decoders++;
    return all[n].seat;
}

int again_promoted(struct again *a, const struct line_event *entry, struct line_decoder **out,
                   struct latent_error *err)
{
    const unsigned char *bytes = entry->bytes;
    struct label label;
    size_t n_label;

    if (!label_read(&label, bytes, entry->n_bytes, &n_label))
        return error_text(err, LATENT_E_FORMAT, "it does not say which decoder: a damaged record");
    *out = again_find(a, &label, err);
    if (!*out) return err->status;
    if (latent_decoder_load((*out)->decoder, bytes + n_label, entry->n_bytes - n_label) == 0)
        return 0;
    return error_text(err, LATENT_E_SNAPSHOT,
                      "its snapshot is of a later version of latentd, or damaged");
}

void again_close(struct again *a)
{
    line_free(a->line);
    for (size_t i = 0; i < a->n_decoders; i++) free_promoted(&a->decoders[i]);
    free(a->decoders);
    latent_decoder_free(a->decoder);
    latent_model_close(a->model);
    conf_free(&a->conf);
}
