/* Data sets: every trial of the recipe in order, then the split.
 *
 * A recipe with conditions has all trials of condition 0 first, then of condition 1 ...; within a
 * condition, or in all without them, train comes first, then valid, then test. */
#include "latent-sim/dataset.h"

#include <hdf5.h>
#include <stdlib.h>

#include "base/text.h"
#include "command/progress.h"
#include "command/stop.h"
#include "data/h5out.h"

/* Of the stored type: wide where one orbit may leap (Roessler's z). */
#define LARGEST_COUNT 255
#define LARGEST_WIDE_COUNT 65535

/* One group of the trial that is written: where from and how wide. */
struct column {
    const char *name;
    hid_t dataset;
    size_t width;
    const float *rows;
};

enum { RATES, LATENTS, READOUT, POSITION, N_COLUMNS };

struct writer {
    const struct recipe *recipe;
    const struct world *world;
    const struct trial_shape *shape;
    struct h5out out;
    struct rng rng;
    struct trial trial;
    struct column columns[N_COLUMNS];
    hid_t counts;
    uint16_t *spikes;     /* [n_bins][n_channels] */
    uint16_t *conditions; /* [n_trials] */
    size_t n_trials;
};

/* One trial's expected counts -> spikes. */
static int spikes_draw(struct writer *w)
{
    size_t n = (size_t)w->shape->n_bins * w->shape->n_channels;
    uint32_t largest = w->shape->each_once ? LARGEST_WIDE_COUNT : LARGEST_COUNT;
    for (size_t i = 0; i < n; i++) {
        uint32_t count = rng_poisson(&w->rng, (double)w->trial.counts[i]);
        if (count > largest)
            return error_text(w->out.err, LATENT_E_VALUE,
                              "a bin got %u spikes where at most %u can be stored: lower "
                              "the recipe's rates or depths",
                              count, largest);
        w->spikes[i] = (uint16_t)count;
    }
    return 0;
}

static uint32_t trials_per_condition(const struct recipe *r)
{
    return r->n_train + r->n_valid + r->n_test;
}

static void columns_open(struct writer *w)
{
    const struct trial_shape *s = w->shape;
    size_t shape[3] = {w->n_trials, s->n_bins, s->n_channels};
    w->columns[RATES] = (struct column){"rates", 0, s->n_channels, w->trial.counts};
    w->columns[LATENTS] = (struct column){"latents", 0, s->n_latents, w->trial.latents};
    w->columns[READOUT] = (struct column){"readout", 0, s->n_readout, w->trial.readout};
    w->columns[POSITION] = (struct column){"position", 0, s->n_positions, w->trial.position};
    hid_t type = s->each_once ? H5T_STD_U16LE : H5T_STD_U8LE;
    w->counts = h5out_dataset(&w->out, "counts", type, 3, shape);
    for (int i = 0; i < N_COLUMNS; i++) {
        struct column *c = &w->columns[i];
        shape[2] = c->width;
        if (c->width > 0) c->dataset = h5out_dataset(&w->out, c->name, H5T_IEEE_F32LE, 3, shape);
    }
}

static void columns_close(struct writer *w)
{
    h5out_close(&w->out, w->counts);
    for (int i = 0; i < N_COLUMNS; i++)
        if (w->columns[i].width > 0) h5out_close(&w->out, w->columns[i].dataset);
}

static int trial_write(struct writer *w, size_t index)
{
    const struct trial_shape *s = w->shape;
    size_t n = (size_t)s->n_bins * s->n_channels;
    uint32_t period = s->each_once ? 1 : trials_per_condition(w->recipe);
    uint32_t condition = (uint32_t)(index / period);
    world_trial_make(w->world, &w->rng, condition, &w->trial);
    int status = spikes_draw(w);
    if (status) return status;

    for (size_t i = 0; i < n; i++)
        w->trial.counts[i] = (float)((double)w->trial.counts[i] * 1e6 / s->bin_width_us);
    w->conditions[index] = (uint16_t)w->trial.condition;
    h5out_rows(&w->out, w->counts, H5T_NATIVE_UINT16, index, 1, w->spikes);
    for (int i = 0; i < N_COLUMNS; i++) {
        const struct column *c = &w->columns[i];
        if (c->width > 0) h5out_rows(&w->out, c->dataset, H5T_NATIVE_FLOAT, index, 1, c->rows);
    }
    return w->out.failed ? w->out.err->status : 0;
}

/* Indices of the trials whose place among their condition's is in [from, from + n). */
static void split_write(struct writer *w, const char *name, uint32_t from, uint32_t n)
{
    uint32_t period = trials_per_condition(w->recipe);
    uint32_t *indices = calloc(w->n_trials, sizeof *indices);
    size_t n_indices = 0;
    for (size_t i = 0; indices && i < w->n_trials; i++)
        if (i % period >= from && i % period < from + n) indices[n_indices++] = (uint32_t)i;
    if (indices)
        h5out_array(&w->out, name, H5T_NATIVE_UINT32, 1, &n_indices, indices);
    else
        w->out.failed = error_text(w->out.err, LATENT_E_NOMEM, "out of memory");
    free(indices);
}

static void readout_describe(struct writer *w)
{
    const char *names[8] = {0}, *units[8] = {0};
    const struct trial_shape *s = w->shape;
    for (uint32_t i = 0; i < s->n_readout; i++) {
        names[i] = s->readout[i].name;
        units[i] = s->readout[i].unit;
    }
    if (s->n_readout > 0) {
        h5out_texts(&w->out, "/", "readout_names", s->n_readout, names);
        h5out_texts(&w->out, "/", "readout_units", s->n_readout, units);
    }
    if (s->n_positions > 0) h5out_text(&w->out, "/position", "units", "mm");
}

static void file_describe(struct writer *w)
{
    const struct recipe *r = w->recipe;
    const struct trial_shape *s = w->shape;
    h5out_array(&w->out, "condition", H5T_NATIVE_UINT16, 1, &w->n_trials, w->conditions);
    h5out_group(&w->out, "split");
    split_write(w, "split/train", 0, r->n_train);
    split_write(w, "split/valid", r->n_train, r->n_valid);
    split_write(w, "split/test", r->n_train + r->n_valid, r->n_test);
    h5out_number(&w->out, "/", "bin_width_ms", s->bin_width_us / 1000.0);
    h5out_text(&w->out, "/", "recipe", r->text);
    h5out_text(&w->out, "/counts", "units", "spikes per bin");
    h5out_text(&w->out, "/rates", "units", "Hz");
    if (s->latent_mean) {
        h5out_numbers(&w->out, "/latents", "mean", s->n_latents, s->latent_mean);
        h5out_numbers(&w->out, "/latents", "scale", s->n_latents, s->latent_scale);
    }
    readout_describe(w);
}

static int trials_write(struct writer *w)
{
    struct progress progress;
    columns_open(w);
    int status = w->out.failed ? w->out.err->status : 0;
    progress_start(&progress, "trials", w->n_trials);
    for (size_t i = 0; !status && i < w->n_trials; i++) {
        status = trial_write(w, i);
        if (!status && stop_requested())
            status = error_text(w->out.err, LATENT_E_IO, "stopped: nothing was written");
        progress_update(&progress, i + 1);
    }
    progress_end(&progress);
    columns_close(w);
    return status;
}

static int file_write(struct writer *w, const char *path, struct latent_error *err)
{
    int status = h5out_create(&w->out, path, err);
    if (status) return status;
    status = trials_write(w);
    if (status) {
        h5out_abort(&w->out);
        return status;
    }
    file_describe(w);
    return h5out_commit(&w->out);
}

int dataset_write(const struct recipe *recipe, const struct world *world, const char *path,
                  struct latent_error *err)
{
    struct writer w = {.recipe = recipe, .world = world, .shape = world_shape(world)};
    size_t n_repeats = w.shape->each_once ? 1 : w.shape->n_conditions;
    w.n_trials = trials_per_condition(recipe) * n_repeats;
    w.spikes = calloc((size_t)w.shape->n_bins * w.shape->n_channels, sizeof *w.spikes);
    w.conditions = calloc(w.n_trials, sizeof *w.conditions);
    rng_init(&w.rng, recipe->seed, TRIAL_STREAM_DATASET);
    stop_install();

    int status = LATENT_E_NOMEM;
    if (!w.spikes || !w.conditions || trial_new(&w.trial, w.shape))
        error_text(err, status, "out of memory");
    else
        status = file_write(&w, path, err);
    trial_free(&w.trial);
    free(w.conditions);
    free(w.spikes);
    return status;
}
