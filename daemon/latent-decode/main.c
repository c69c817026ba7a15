/* latent-decode: a whole recording through the same core as the daemon. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "command/options.h"
#include "command/stop.h"
#include "data/recording.h"
#include "latent-decode/bins.h"
#include "latent-decode/results.h"
#include "latent-decode/workers.h"
#include "latent.h"

#define PROGRAM "latent-decode"
#define SLAB_VALUES (1u << 20) /* counts read at once */
#define SLAB_BINS 1024
#define MOST_THREADS 4096

struct settings {
    const char *model, *out, *mode, *precision, *session, *compare;
    double max_loss;    /* bits/spike; 0: none is too much */
    uint64_t n_threads; /* 0: as many as there are processors */
    bool fast, bins_only;
    struct reader_options input;
    struct bins_options bins; /* without its input, which is the one above */
};

struct decoding {
    const struct settings *settings;
    struct latent_error *err;
    latent_model *model;
    struct latent_info info;
    struct latent_options options;
    const struct latent_mode *mode;
    const char *session; /* NULL: the model has none */
    struct reader *reader;
    const struct reader_shape *shape;
    struct results *results;
    struct comparison *comparison; /* with --compare */
};

static int settings_check(const struct option_table *table, const struct settings *s,
                          struct latent_error *err)
{
    const struct behaviour_options *b = &s->bins.behaviour;
    bool of_bins = b->values || b->use || b->times || b->hz > 0.0 || s->bins.split ||
                   s->bins.rates || s->bins.conditions;
    bool of_model = s->model || s->mode || s->precision || s->session || s->compare || s->fast;
    const struct {
        bool is_broken;
        const char *text;
    } rules[] = {
        {s->bins_only && of_model,
         "--bins-only goes without --model, --mode, --precision, --session, --compare and "
         "--fast"},
        {!s->bins_only && of_bins,
         "--behaviour, --use, --split, --rates and --conditions go with --bins-only"},
        {!s->model && !s->bins_only, "--model is missing"},
        {!s->out, "--out is missing"},
        {s->max_loss > 0.0 && !s->compare, "--max-loss goes with --compare"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].is_broken) return options_refuse(table, err, "%s", rules[i].text);
    if (reader_check(&s->input, err)) return options_refuse(table, err, "%s", err->text);
    return 0;
}

static int settings_read(struct settings *s, int argc, char **argv, struct latent_error *err)
{
    struct reader_options *in = &s->input;
    struct behaviour_options *behaviour = &s->bins.behaviour;
    const struct option_row rows[] = {
        OPTION_TEXT("model", "FILE", &s->model, "the model (safetensors)"),
        OPTION_TEXT("out", "FILE", &s->out, "where the results go (HDF5; with --bins-only: npz)"),
        OPTION_SWITCH("bins-only", &s->bins_only,
                      "no model: write the bins as they would be decoded,\nfor training"),
        OPTION_TEXT("mode", "MODE", &s->mode, "one of the model's (default: its first)"),
        OPTION_TEXT("precision", "P", &s->precision, "one of the model's (default: its first)"),
        OPTION_TEXT("session", "NAME", &s->session, "one of the model's, where it has several"),
        OPTION_TEXT("compare", "P", &s->compare,
                    "decode in this precision as well, and say what the\nother one loses"),
        OPTION_NUMBER("max-loss", "BITS", &s->max_loss, 0, OPTION_ANY_NUMBER,
                      "with --compare: write nothing when more bits per spike\nare lost"),
        OPTION_WHOLE("threads", "N", &s->n_threads, 0, MOST_THREADS,
                     "trials decoded at a time\n(default, and 0: one per processor)"),
        OPTION_SWITCH("fast", &s->fast,
                      "whole trials at once where the model can: equal within\n"
                      "rounding, without flags"),
        READER_ROWS(in),
        OPTION_NUMBER("seconds", "N", &in->seconds, 0, OPTION_ANY_NUMBER,
                      "without trials: length of the part to read\n(default: to the end)"),
        BEHAVIOUR_ROWS(behaviour),
        OPTION_TEXT("split", "FILE:/GROUP", &s->bins.split,
                    "with --bins-only: train, valid and test, indices of\ntrials"),
        OPTION_TEXT("rates", "FILE:/DATASET", &s->bins.rates,
                    "with --bins-only: true rates in Hz, of the trials or of\ntheir conditions"),
        OPTION_TEXT("conditions", "FILE:/DATASET", &s->bins.conditions,
                    "with --rates: the condition of each trial"),
        {0},
    };
    const struct option_table table = {
        .program = PROGRAM,
        .purpose = "decode a recording",
        .usage = "--model FILE --in FILE:/DATASET --out OUT.h5 ...\n"
                 "       " PROGRAM " --model FILE --ticks FILE:/DATASET\n"
                 "           --units FILE:/DATASET --bin-ms MS --out OUT.h5 ...\n"
                 "       " PROGRAM " --bins-only --in FILE:/DATASET --out OUT.npz ...",
        .rows = rows,
        .notes =
            "Exit: 0 done; 1 a file is not as it must be, and nothing is written; 2 a mistake\n"
            "in the command line.\n"};
    int status = options_read(&table, argc, argv, NULL, err);
    return status == OPTIONS_RUN ? settings_check(&table, s, err) : status;
}

/* ---- opening ------------------------------------------------------------------------ */

static int shapes_check(const struct decoding *d)
{
    const struct latent_info *info = &d->info;
    const struct reader_shape *s = d->shape;
    if (s->n_channels != info->n_channels)
        return error_text(d->err, LATENT_E_SHAPE,
                          "the recording has %zu channels, the model %s expects %u", s->n_channels,
                          info->path, info->n_channels);
    if (s->bin_width_us != info->bin_width_us)
        return error_text(d->err, LATENT_E_SHAPE,
                          "the recording has bins of %g ms, the model %s expects %g ms",
                          s->bin_width_us / 1000.0, info->path, info->bin_width_us / 1000.0);
    if (d->mode->offline && info->trial_bins && s->n_bins > info->trial_bins)
        return error_text(
            d->err, LATENT_E_SHAPE,
            "the recording has trials of %zu bins, mode %s of the model %s takes at most %u",
            s->n_bins, d->mode->name, info->path, info->trial_bins);
    return 0;
}

/* Offline modes need a trial at once, the others as much as is handy. */
static size_t slab_bins(const struct decoding *d)
{
    size_t n_bins = SLAB_VALUES / d->shape->n_channels;
    if (n_bins > SLAB_BINS) n_bins = SLAB_BINS;
    if (n_bins < 1) n_bins = 1;
    return d->mode->offline || n_bins > d->shape->n_bins ? d->shape->n_bins : n_bins;
}

static int output_open(struct decoding *d)
{
    const struct settings *s = d->settings;
    struct results_about about = {.info = &d->info,
                                  .shape = d->shape,
                                  .mode = d->mode->name,
                                  .session = d->session,
                                  .input = s->input.in ? s->input.in : s->input.ticks};
    return results_create(&d->results, s->out, &about, d->err);
}

/* Is the output the file of this argument (FILE or FILE:/DATASET, may be NULL)? */
static bool is_same_file(const char *out, const char *argument)
{
    struct stat a, b;
    char path[4096];
    const char *dataset = argument ? strstr(argument, ":/") : NULL;
    if (!argument || stat(out, &a)) return false;
    snprintf(path, sizeof path, "%.*s", dataset ? (int)(dataset - argument) : (int)strlen(argument),
             argument);
    return stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* A recording must not be lost by a slip of the hand. */
static int output_check(const struct settings *s, struct latent_error *err)
{
    const struct bins_options *b = &s->bins;
    const char *const kept[] = {s->model,         s->input.in,        s->input.ticks,
                                s->input.units,   s->input.good,      b->behaviour.values,
                                b->behaviour.use, b->behaviour.times, b->split,
                                b->rates,         b->conditions};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (is_same_file(s->out, kept[i]))
            return error_text(err, LATENT_E_CONFIG,
                              "--out %s is the file that %s reads: choose another name", s->out,
                              i == 0 ? "--model" : "the input");
    return 0;
}

static const struct latent_mode *mode_find(const struct latent_info *info, const char *name)
{
    for (uint32_t i = 0; name && i < info->n_modes; i++)
        if (strcmp(info->modes[i].name, name) == 0) return &info->modes[i];
    return NULL;
}

/* The mode asked for, or with --fast the one that takes its trials whole. An unknown name is left
 * to latent_decoder_new, which tells it. */
static const char *mode_choose(const struct decoding *d)
{
    const struct settings *s = d->settings;
    const char *name = s->mode ? s->mode : d->info.modes[0].name;
    const struct latent_mode *asked = mode_find(&d->info, name);
    const struct latent_mode *whole = asked ? mode_find(&d->info, asked->whole) : NULL;
    if (s->fast && asked && !whole && !asked->offline)
        fprintf(stderr,
                PROGRAM ": --fast: mode %s of this file has no form that takes whole "
                        "trials: decoding bin by bin\n",
                name);
    return s->fast && whole ? whole->name : name;
}

static int comparison_open(struct decoding *d)
{
    const struct settings *s = d->settings;
    if (s->max_loss > 0.0 && !d->info.n_rates)
        return error_text(d->err, LATENT_E_CONFIG,
                          "--max-loss counts bits/spike: the model %s has no rates", d->info.path);
    if (s->compare) d->comparison = comparison_new(&d->info);
    if (!s->compare || d->comparison) return 0;
    return error_text(d->err, LATENT_E_NOMEM, "out of memory");
}

/* The shape and the mode are known once a decoder could be made. */
static int model_open(struct decoding *d)
{
    int status = latent_model_open(&d->model, d->settings->model, d->err);
    if (status) return status;
    latent_model_info(d->model, &d->info);
    /* A recording has no gaps to predict over; some models could not. */
    d->options = (struct latent_options){.mode = mode_choose(d),
                                         .precision = d->settings->precision,
                                         .session = d->settings->session};
    latent_decoder *decoder = NULL;
    status = latent_decoder_new(&decoder, d->model, &d->options, d->err);
    if (!status) {
        d->mode = latent_decoder_mode(decoder);
        d->session = latent_decoder_session(decoder);
    }
    latent_decoder_free(decoder);
    return status ? status : comparison_open(d);
}

/* The model says what it takes. */
static int recording_open(struct decoding *d)
{
    struct reader_options input = d->settings->input;
    const char *kind = latent_input_name(d->info.input);
    if (input.input && strcmp(input.input, kind) != 0)
        return error_text(d->err, LATENT_E_CONFIG, "--input %s: the model %s takes %s", input.input,
                          d->info.path, kind);
    input.input = kind;
    return reader_open(&d->reader, &input, d->err);
}

static int decoding_open(struct decoding *d)
{
    int status = output_check(d->settings, d->err);
    if (!status) status = model_open(d);
    if (!status) status = recording_open(d);
    if (status) return status;
    d->shape = reader_shape(d->reader);
    status = shapes_check(d);
    return status ? status : output_open(d);
}

static void decoding_close(struct decoding *d)
{
    results_abort(d->results);
    comparison_free(d->comparison);
    reader_close(d->reader);
    latent_model_close(d->model);
}

static int recording_decode(const struct decoding *d)
{
    size_t n_threads = d->settings->n_threads;
    const struct workers_job job = {.model = d->model,
                                    .options = d->options,
                                    .against = d->settings->compare,
                                    .comparison = d->comparison,
                                    .reader = d->reader,
                                    .results = d->results,
                                    .n_slab_bins = slab_bins(d),
                                    .n_threads = n_threads ? n_threads : workers_default()};
    return workers_run(&job, d->err);
}

static const char *precision_in_use(const struct decoding *d)
{
    return d->settings->precision ? d->settings->precision : d->info.precisions[0];
}

/* Tell what the precision costs; too much is an error, and nothing is written. */
static int comparison_judge(const struct decoding *d)
{
    const struct settings *s = d->settings;
    double loss = comparison_loss(d->comparison);
    comparison_print(d->comparison, precision_in_use(d), s->compare);
    if (s->max_loss <= 0.0 || loss <= s->max_loss) return 0;
    return error_text(d->err, LATENT_E_OUTPUT,
                      "%s loses %g bits/spike against %s, more than --max-loss %g: "
                      "nothing was written",
                      precision_in_use(d), loss, s->compare, s->max_loss);
}

static int decode_run(const struct settings *settings, struct latent_error *err)
{
    struct decoding d = {.settings = settings, .err = err};
    stop_install();
    int status = decoding_open(&d);
    if (!status) status = recording_decode(&d);
    if (!status && d.comparison) status = comparison_judge(&d);
    if (!status) {
        status = results_commit(d.results);
        d.results = NULL;
    }
    if (!status)
        printf(PROGRAM ": %zu x %zu bins by %s, mode %s -> %s\n", d.shape->n_trials,
               d.shape->n_bins, d.info.arch, d.mode->name, settings->out);
    decoding_close(&d);
    return status;
}

static int bins_run(const struct settings *s, struct latent_error *err)
{
    struct bins_options bins = s->bins;
    bins.input = s->input;
    bins.out = s->out;
    stop_install();
    int status = output_check(s, err);
    return status ? status : bins_write(&bins, err);
}

int main(int argc, char **argv)
{
    struct settings settings = {0};
    struct latent_error err = {0};
    int status = settings_read(&settings, argc, argv, &err);
    if (status == OPTIONS_DONE) return PROGRAM_DONE;
    if (status) return options_fail(PROGRAM, PROGRAM_MISUSED, &err);
    status = settings.bins_only ? bins_run(&settings, &err) : decode_run(&settings, &err);
    return status ? options_fail(PROGRAM, PROGRAM_FAILED, &err) : PROGRAM_DONE;
}
