/* From a section of the configuration to a decoder that is ready. */
#include "latentd/stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/words.h"
#include "conf/check.h"
#include "health/bad_channels.h"
#include "latentd/admit.h"
#include "setup/setup.h"
#include "wire.h"

#define MAX_LISTED 16 /* modes or precisions of a file, for texts */

/* ---- what the configuration asks of the model ---- */

/* listed, ended by NULL, as "a, b", as far as there is room. */
static const char *list_words(char *text, size_t n, const char *const *listed)
{
    size_t used = 0;

    text[0] = '\0';
    for (const char *const *l = listed; *l && used < n; l++)
        used += (size_t)snprintf(text + used, n - used, "%s%s", used ? ", " : "", *l);
    return text;
}

/* Is the word in the list? If not, say what is. listed: NULL-terminated. */
static bool check_listed(struct conf *c, const struct conf_stream_section *section, const char *key,
                         const char *word, const char *const *listed)
{
    const char *nearest = word_nearest(word, listed);
    char allowed[CONF_MAX_VALUE];

    for (const char *const *l = listed; *l; l++)
        if (strcmp(*l, word) == 0) return true;
    conf_stream_problem(c, section, key, "the model file has no '%s'; it allows: %s%s%s", word,
                        list_words(allowed, sizeof allowed, listed), nearest ? "; nearest: " : "",
                        nearest ? nearest : "");
    return false;
}

/* Modes that decode bin by bin; whole-trial ones are for latent-decode. */
static bool check_mode(struct stream *s, struct conf *c)
{
    const char *online[MAX_LISTED + 1];
    size_t n = 0;

    for (uint32_t i = 0; i < s->info.n_modes && n < MAX_LISTED; i++)
        if (!s->info.modes[i].offline) online[n++] = s->info.modes[i].name;
    online[n] = NULL;
    if (n == 0) {
        conf_stream_problem(c, s->conf, "model", "%s decodes whole trials only; use latent-decode",
                            s->conf->values.model);
        return false;
    }
    s->mode = s->conf->values.mode ? s->conf->values.mode : online[0];
    return check_listed(c, s->conf, "mode", s->mode, online);
}

static bool check_precision(struct stream *s, struct conf *c)
{
    const char *listed[MAX_LISTED + 1];
    uint32_t n = s->info.n_precisions < MAX_LISTED ? s->info.n_precisions : MAX_LISTED;

    assert(n > 0); /* the core refuses a file that lists none */
    for (uint32_t i = 0; i < n; i++) listed[i] = s->info.precisions[i];
    listed[n] = NULL;
    s->precision = s->conf->values.precision ? s->conf->values.precision : listed[0];
    return check_listed(c, s->conf, "precision", s->precision, listed);
}

/* Another session's weights would decode, and be wrong: of several one is named. */
static bool check_session(struct stream *s, struct conf *c)
{
    const char *asked = s->conf->values.session;
    const char **listed = memory_need(calloc(s->info.n_sessions + 1, sizeof *listed));
    bool good = true;

    for (uint32_t i = 0; i < s->info.n_sessions; i++) listed[i] = s->info.sessions[i];
    s->session = asked ? asked : listed[0];
    if (asked && !listed[0]) {
        conf_stream_problem(c, s->conf, "session", "the model file has no sessions, found '%s'",
                            asked);
        good = false;
    } else if (asked) {
        good = check_listed(c, s->conf, "session", asked, listed);
    } else if (s->info.n_sessions > 1) {
        char allowed[CONF_MAX_VALUE];

        conf_stream_problem(c, s->conf, "session", "the model file has several; name one of: %s",
                            list_words(allowed, sizeof allowed, listed));
        good = false;
    }
    free(listed);
    return good;
}

static bool check_outputs(struct stream *s, struct conf *c)
{
    const struct {
        const char *name;
        uint32_t group, n;
    } groups[] = {{"latents", LATENT_GROUP_LATENTS, s->info.n_latents},
                  {"rates", LATENT_GROUP_RATES, s->info.n_rates},
                  {"readout", LATENT_GROUP_READOUT, s->info.n_readout},
                  {"logits", LATENT_GROUP_LOGITS, s->info.n_logits}};
    bool good = true;

    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        bool asked = (s->conf->values.outputs & groups[i].group) != 0;

        if (groups[i].n > 0 && (asked || s->conf->values.outputs == 0))
            s->groups |= groups[i].group;
        if (!asked || groups[i].n > 0) continue;
        conf_stream_problem(c, s->conf, "outputs", "the model gives no %s", groups[i].name);
        good = false;
    }
    return good;
}

static bool check_mean(struct stream *s, struct conf *c)
{
    if (s->conf->values.on_gap != ON_GAP_MEAN || s->info.channel_mean) return true;
    conf_stream_problem(c, s->conf, "on-gap",
                        "mean needs the training mean of each channel, and the model file holds "
                        "none; export it again with --statistics FILE.h5:/counts, or choose "
                        "another of: auto, predict, zero, hold-input, reset");
    return false;
}

/* Zeros are silence only where counts are. */
static bool check_zero(struct stream *s, struct conf *c)
{
    if (s->conf->values.on_gap != ON_GAP_ZERO || s->info.input != LATENT_INPUT_REAL) return true;
    conf_stream_problem(c, s->conf, "on-gap",
                        "zero means no spikes, and the model takes real values; choose another "
                        "of: auto, predict, hold-input, mean, reset");
    return false;
}

/* Nothing is guessed: what a file without statistics cannot tell is not decided by them. */
static bool check_bad_channels(struct stream *s, struct conf *c)
{
    const char *why;

    if (s->conf->values.bad_channels != CONF_BAD_AUTO || bad_channels_basis(&s->info, &why))
        return true;
    conf_stream_problem(c, s->conf, "bad-channels",
                        "auto goes by training, and %s; export it again with --statistics "
                        "FILE.h5:/counts, or choose another of: off, propose",
                        why);
    return false;
}

/* Each check runs, so that every mistake is named. */
static bool check_requests(struct stream *s, struct conf *c)
{
    bool mode = check_mode(s, c);
    bool precision = check_precision(s, c);
    bool session = check_session(s, c);
    bool outputs = check_outputs(s, c);
    bool mean = check_mean(s, c);
    bool zero = check_zero(s, c);
    bool bad_channels = check_bad_channels(s, c);

    return mode && precision && session && outputs && mean && zero && bad_channels;
}

/* ---- opening ---- */

static int open_model(struct stream *s, struct conf *c)
{
    char *path = conf_path_of(c, s->conf->values.model);
    struct latent_error err = {0};
    int status = latent_model_open(&s->model, path, &err);

    if (status)
        conf_stream_problem(c, s->conf, "model", "%s", err.text);
    else
        latent_model_info(s->model, &s->info);
    free(path);
    return status;
}

/* What was "auto" is now known: --check and the status show it. */
static void write_back(struct stream *s)
{
    struct conf_stream *v = &s->conf->values;

    if (!v->mode) v->mode = memory_need(strdup(s->mode));
    if (!v->precision) v->precision = memory_need(strdup(s->precision));
    if (!v->session && s->session) v->session = memory_need(strdup(s->session));
    s->mode = v->mode;
    s->precision = v->precision;
    s->session = v->session;
    v->outputs = s->groups;
    conf_resolve(v, s->info.bin_width_us, s->info.every_bins);
    s->bin_ns = (uint64_t)s->info.bin_width_us * 1000;
}

static int try_decoder(struct stream *s, struct latent_error *err)
{
    const struct latent_options options = setup_decoder(&s->conf->values);

    return latent_decoder_new(&s->decoder, s->model, &options, err);
}

/* What a text of the core says after the model's path. */
static const char *reason_in(const struct stream *s, const struct latent_error *err)
{
    size_t n = strlen(s->info.path) + strlen(": ");

    return strlen(err->text) > n ? err->text + n : err->text;
}

/* With on-gap = auto: one that predicts, else one that is reset by a gap. Everything else that is
 * asked of it the file was seen to offer. */
static int open_decoder(struct stream *s, struct conf *c, struct notes *notes)
{
    struct conf_stream *v = &s->conf->values;
    bool is_auto = v->on_gap == CONF_AUTO;
    struct latent_error err = {0};
    int status;

    if (is_auto) v->on_gap = ON_GAP_PREDICT;
    status = try_decoder(s, &err);
    if (status == LATENT_E_UNSUPPORTED && is_auto) {
        v->on_gap = ON_GAP_RESET;
        notes_add(notes, "stream %s: each gap resets it (on-gap = auto): %.180s", s->conf->name,
                  reason_in(s, &err));
        status = try_decoder(s, &err);
    }
    if (status == LATENT_E_UNSUPPORTED && v->on_gap == ON_GAP_PREDICT)
        conf_stream_problem(c, s->conf, "on-gap",
                            "%s, or choose another of: auto, zero, hold-input, reset", err.text);
    else if (status == LATENT_E_UNSUPPORTED)
        conf_stream_problem(c, s->conf, "on-missing",
                            "%s, or choose another of: hold-frame, safe, skip", err.text);
    else if (status)
        conf_stream_problem(c, s->conf, "model", "%s", err.text);
    return status;
}

/* What the configuration masks from the start. */
static int open_mask(struct stream *s, struct conf *c)
{
    char why[160];

    if (masking_open(&s->masking, &s->info, &s->conf->values, s->decoder, why, sizeof why) == 0)
        return 0;
    conf_stream_problem(c, s->conf, "mask", "%s", why);
    return LATENT_E_UNSUPPORTED;
}

/* path NULL: latentd does not connect there, or in plaintext. */
static int read_server_key(struct stream *s, struct conf *c, const char *name, const char *path,
                           uint8_t key[KEY_BYTES])
{
    struct latent_error err = {0};
    char *whole;
    int status;

    if (!path) return 0;
    whole = conf_path_of(c, path);
    status = key_file_read_public(whole, key, &err);
    free(whole);
    if (status) conf_stream_problem(c, s->conf, name, "%s", err.text);
    return status;
}

static int read_server_keys(struct stream *s, struct conf *c)
{
    const struct conf_stream *v = &s->conf->values;
    int input = read_server_key(s, c, "input-server-key", v->input_server_key, s->input_server);
    int output = read_server_key(s, c, "output-server-key", v->output_server_key, s->output_server);

    return input ? input : output;
}

enum program_exit stream_open(struct stream **out, struct conf *c,
                              struct conf_stream_section *section, const struct access *access,
                              struct notes *notes)
{
    bool names_valid_for = section->values.valid_for_ns != 0;
    struct stream *s = *out = memory_need(malloc(sizeof *s));
    int status;

    *s = (struct stream){.whole_conf = c, .conf = section, .access = access};
    snprintf(s->topic_bins, sizeof s->topic_bins, "%s/bins", section->name);
    snprintf(s->topic_info, sizeof s->topic_info, "%s/info", section->name);
    if (read_server_keys(s, c)) return PROGRAM_FAILED;
    if (open_model(s, c)) return PROGRAM_FAILED;
    if (!check_requests(s, c) || !recording_check(c, section)) return PROGRAM_MISUSED;
    write_back(s);
    if (!conf_check_times(c, section, s->info.bin_width_us, s->info.every_bins, names_valid_for))
        return PROGRAM_MISUSED;
    status = open_decoder(s, c, notes);
    if (!status) status = open_mask(s, c);
    if (status == LATENT_E_UNSUPPORTED) return PROGRAM_MISUSED;
    return status ? PROGRAM_FAILED : PROGRAM_DONE;
}

/* ---- admission ---- */

/* What is too slow is noted, and refused where the configuration says so. */
static int admission_judge(const struct stream *s, const struct admission *a, struct notes *notes,
                           struct latent_error *err)
{
    bool refuses = s->conf->values.admission == CONF_ADMISSION_REFUSE;
    char text[NOTES_TEXT];

    if (!admission_is_slow(a)) return 0;
    snprintf(text, sizeof text,
             "stream %s: %u of %u trial steps were too slow: up to %.3f ms, its budget is %.3f ms: "
             "%s",
             s->conf->name, (unsigned)a->n_slow, (unsigned)a->n_steps, (double)a->longest_ns / 1e6,
             (double)a->budget_ns / 1e6,
             refuses ? "refused (admission = refuse)" : "expect frames with LATE");
    notes_add(notes, "%s", text);
    return refuses ? error_text(err, LATENT_E_CONFIG, "%s", text) : 0;
}

int stream_admit(struct stream *s, struct notes *notes, struct latent_error *err)
{
    struct admission a = {.budget_ns = s->conf->values.budget_ns};
    int failed, status = admit_run(s->decoder, &s->info, &a, &failed);

    if (status)
        return error_text(err, status, "stream %s: its decoder's state cannot be kept: %s",
                          s->conf->name, latent_strerror(status));
    if (failed)
        notes_add(notes, "stream %s: decoding silence failed at bin %u: %s", s->conf->name,
                  (unsigned)a.n_steps - 1, latent_strerror(failed));
    return admission_judge(s, &a, notes, err);
}

/* ---- the line ---- */

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_now_ns();
}

static int told_new(struct stream *s)
{
    size_t n = s->info.n_channels;

    s->told = calloc(1, sizeof *s->told + line_normalisation_bytes(s->line));
    if (!s->told) return -1;
    s->told->mean = (double *)(s->told + 1);
    s->told->sd = s->told->mean + n;
    return 0;
}

int stream_attach(struct stream *s, struct output *output, struct line_sink sink)
{
    const struct line_options options = setup_line(s->conf, &s->info, wire_clock_id());

    s->output = output;
    s->minute = calloc(1, sizeof *s->minute);
    if (!s->minute) return -1;
    if (line_new(&s->line, s->decoder, &s->info, &options,
                 (struct line_clock){.now_ns = read_clock}, sink) ||
        told_new(s) || engine_of_stream(&s->engine, s))
        return -1;
    minute_look(s->minute, s->line, clock_now_ns());
    s->in_line = s->engine;
    return swap_attach(&s->swap, s) ? -1 : channel_watch_attach(&s->watch, s);
}

void stream_give_orders(struct stream *s, struct orders *orders, size_t place)
{
    const struct recording_of of = {.conf = s->whole_conf,
                                    .section = s->conf,
                                    .about = s->engine->about,
                                    .line = s->line,
                                    .orders = orders,
                                    .place = place};

    s->orders = orders;
    s->place = place;
    recording_open(&s->recording, &of);
}

void stream_take_section(struct stream *s, const struct conf *whole_conf)
{
    s->section = *s->conf;
    s->conf->values = (struct conf_stream){0};
    s->conf = &s->section;
    s->whole_conf = whole_conf;
}

/* ---- the end ---- */

void stream_say_ledgers(const struct stream *s)
{
    struct ledger_values v;
    char text[256];

    line_read(s->line, &v);
    log_say(LOG_LEVEL_INFO,
            "%s: %" PRIu64 " messages, %" PRIu64 " bins, %" PRIu64 " decoded, %" PRIu64
            " frames published, %" PRIu64 " budget misses; %s",
            s->conf->name, v.value[MESSAGES_IN], v.value[BINS_IN], v.value[BINS_DECODED],
            v.value[FRAMES_PUBLISHED], v.value[STATE_BUDGET_MISSES],
            ledger_check(&v, text, sizeof text) ? "ledgers balanced" : text);
}

/* Before there was a line, model and decoder are the stream's own. */
void stream_close(struct stream *s)
{
    if (!s || !recording_close(&s->recording)) return;
    line_free(s->line);
    channel_watch_close(&s->watch);
    swap_close(&s->swap);
    if (s->engine) {
        engine_free(s->engine);
    } else {
        latent_decoder_free(s->decoder);
        latent_model_close(s->model);
    }
    free(s->minute);
    masking_close(&s->masking);
    free(s->told);
    if (s->conf == &s->section) conf_free_values(CONF_STREAM, &s->section.values);
    free(s);
}
