/* From a file to what can be promoted. */
#include "latentd/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/text.h"
#include "latentd/admit.h"
#include "latentd/info.h"
#include "latentd/stream.h"
#include "setup/setup.h"

/* ---- what is asked of the file ---- */

/* The mode in use where the file has it and decodes bin by bin in it, else its first that does. */
static const char *choose_mode(const struct latent_info *info, const char *wanted)
{
    const char *first = NULL;

    for (uint32_t i = 0; i < info->n_modes; i++) {
        if (info->modes[i].offline) continue;
        if (strcmp(info->modes[i].name, wanted) == 0) return info->modes[i].name;
        if (!first) first = info->modes[i].name;
    }
    return first;
}

static const char *choose_precision(const struct latent_info *info, const char *wanted)
{
    for (uint32_t i = 0; i < info->n_precisions; i++)
        if (strcmp(info->precisions[i], wanted) == 0) return info->precisions[i];
    return info->precisions[0];
}

/* The session in use where the file has it, or its only one: no other is like it. */
static int choose_session(struct engine *e, const char *wanted, struct latent_error *err)
{
    const struct latent_info *info = &e->info;

    for (uint32_t i = 0; i < info->n_sessions; i++)
        if (info->n_sessions == 1 || (wanted && strcmp(info->sessions[i], wanted) == 0)) {
            e->session = info->sessions[i];
            return 0;
        }
    if (info->n_sessions == 0) return 0;
    return error_text(err, LATENT_E_UNSUPPORTED,
                      "%s: the file has %u sessions, and %s%s%s: it needs session = NAME and a "
                      "restart",
                      info->path, (unsigned)info->n_sessions, wanted ? "\"" : "the stream has none",
                      wanted ? wanted : "", wanted ? "\", the stream's, is none of them" : "");
}

static int open_model(struct engine *e, const struct engine_place *place, struct latent_error *err)
{
    const struct stream *s = place->stream;
    const struct line_options line = setup_line(s->conf, &place->now, 0);
    int status = latent_model_open(&e->model, place->path, err);

    if (status) return status;
    latent_model_info(e->model, &e->info);
    status = line_may_follow(&place->now, &e->info, &line.policy, err);
    if (status) return status;
    e->mode = choose_mode(&e->info, s->conf->values.mode);
    e->precision = choose_precision(&e->info, s->conf->values.precision);
    if (e->mode) return choose_session(e, s->conf->values.session, err);
    return error_text(err, LATENT_E_UNSUPPORTED, "%s decodes whole trials only; use latent-decode",
                      place->path);
}

static int open_decoder(struct engine *e, const struct engine_place *place,
                        struct latent_error *err)
{
    struct latent_options options = setup_decoder(&place->stream->conf->values);
    int status;

    options.mode = e->mode;
    options.precision = e->precision;
    options.session = e->session;
    status = latent_decoder_new(&e->decoder, e->model, &options, err);
    if (!status) status = line_decoder_new(&e->seat, e->decoder, &e->info);
    if (status && !err->status) error_text(err, status, "%s: out of memory", place->path);
    return status;
}

/* What fails or is too slow on silence need not be tried on a subject. */
static int try_speed(struct engine *e, const struct engine_place *place, char *said, size_t n_said,
                     struct latent_error *err)
{
    const struct conf_stream *v = &place->stream->conf->values;
    struct admission a = {.budget_ns = v->budget_ns};
    int failed, status = admit_run(e->decoder, &e->info, &a, &failed);

    if (!status) status = failed;
    if (status)
        return error_text(err, status, "%s: decoding silence failed at bin %u: %s", place->path,
                          (unsigned)a.n_steps - 1, latent_strerror(status));
    snprintf(said, n_said, "%s, mode %s, %s; %u trial steps took up to %.3f ms", e->info.arch,
             e->mode, e->precision, (unsigned)a.n_steps, (double)a.longest_ns / 1e6);
    if (!admission_is_slow(&a) || v->admission != CONF_ADMISSION_REFUSE) return 0;
    return error_text(err, LATENT_E_CONFIG,
                      "%s: %u of %u trial steps were too slow: up to %.3f ms, the budget is %.3f "
                      "ms (admission = refuse)",
                      place->path, (unsigned)a.n_slow, (unsigned)a.n_steps,
                      (double)a.longest_ns / 1e6, (double)a.budget_ns / 1e6);
}

/* ---- what is told of it ---- */

/* The stream's section as it would stand in a configuration that names this model. */
static char *config_text(const struct engine *e, const struct stream *s)
{
    struct conf_stream_section section = *s->conf;
    char path[CONF_MAX_VALUE], mode[CONF_MAX_VALUE], precision[CONF_MAX_VALUE];
    char session[CONF_MAX_VALUE], *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    if (!out) return NULL;
    snprintf(path, sizeof path, "%s", e->info.path);
    snprintf(mode, sizeof mode, "%s", e->mode);
    snprintf(precision, sizeof precision, "%s", e->precision);
    if (!e->is_first) section.values.model = path;
    section.values.mode = mode;
    section.values.precision = precision;
    snprintf(session, sizeof session, "%s", e->session ? e->session : "");
    section.values.session = e->session ? session : NULL;
    conf_print_stream(s->whole_conf, &section, out);
    fclose(out);
    return text;
}

int engine_words_new(struct engine_words **out, const struct engine *e, const struct stream *s,
                     struct conf_stream_section *section)
{
    const struct stream as = {.whole_conf = s->whole_conf,
                              .conf = section,
                              .groups = s->groups,
                              .info = e->info,
                              .decoder = e->decoder,
                              .mode = e->mode,
                              .precision = e->precision,
                              .session = e->session};
    struct engine_words *words = calloc(1, sizeof *words);

    *out = NULL;
    if (!words) return -1;
    words->info_payload = info_pack(&as, &words->n_info_payload);
    words->config = config_text(e, &as);
    if (words->info_payload && words->config) {
        *out = words;
        return 0;
    }
    engine_words_free(words);
    return -1;
}

void engine_words_free(struct engine_words *words)
{
    while (words) {
        struct engine_words *before = words->before;

        free(words->info_payload);
        free(words->config);
        free(words);
        words = before;
    }
}

void engine_take_words(struct engine *e, struct engine_words *words)
{
    words->before = e->words;
    e->words = words;
}

static int describe(struct engine *e, const struct stream *s)
{
    if (engine_words_new(&e->words, e, s, s->conf)) return LATENT_E_NOMEM;
    e->about = (struct store_about){.stream = s->conf->name,
                                    .config = e->words->config,
                                    .info = &e->info,
                                    .mode = e->mode,
                                    .precision = e->precision,
                                    .session = e->session,
                                    .decoder_id = latent_decoder_id(e->decoder),
                                    .clock_id = wire_clock_id(),
                                    .contract = s->conf->values.contract};
    return 0;
}

/* ---- life ---- */

int engine_open(struct engine **out, const struct engine_place *place, char *said, size_t n_said,
                struct latent_error *err)
{
    struct engine *e = calloc(1, sizeof *e);
    int status;

    *out = NULL;
    if (!e) return error_text(err, LATENT_E_NOMEM, "%s: out of memory", place->path);
    status = open_model(e, place, err);
    if (!status) status = open_decoder(e, place, err);
    if (!status) status = try_speed(e, place, said, n_said, err);
    if (!status && describe(e, place->stream))
        status = error_text(err, LATENT_E_NOMEM, "%s: out of memory", place->path);
    if (status)
        engine_free(e);
    else
        *out = e;
    return status;
}

int engine_of_stream(struct engine **out, const struct stream *s)
{
    struct engine *e = calloc(1, sizeof *e);

    *out = e;
    if (!e) return -1;
    *e = (struct engine){.model = s->model,
                         .info = s->info,
                         .decoder = s->decoder,
                         .mode = s->mode,
                         .precision = s->precision,
                         .session = s->session,
                         .seat = line_decoder(s->line),
                         .is_first = true};
    return describe(e, s) ? -1 : 0;
}

void engine_free(struct engine *e)
{
    if (!e) return;
    if (!e->is_first) line_decoder_free(e->seat);
    latent_decoder_free(e->decoder);
    latent_model_close(e->model);
    engine_words_free(e->words);
    free(e);
}
