/* latent-sim: simulated acquisition, as a data set or live. */
#include <stdio.h>

#include "base/text.h"
#include "command/options.h"
#include "latent-sim/dataset.h"
#include "latent-sim/live.h"
#include "latent-sim/recipe.h"
#include "latent-sim/world.h"
#include "wire.h"

#define PROGRAM "latent-sim"
#define NO_SEED UINT64_MAX

struct settings {
    const char *recipe, *out;
    struct live_options live;
    double seconds;
};

static int settings_check(const struct option_table *table, const struct settings *s,
                          struct latent_error *err)
{
    const struct source_options *o = &s->live.source;
    if (!s->recipe) return options_refuse(table, err, "--recipe is missing");
    if (!s->out && !o->stream)
        return options_refuse(table, err, "--out (for a data set) or --stream (live) is missing");
    if (s->out && o->stream)
        return options_refuse(table, err, "--out and --stream do not go together");
    if (s->out && (s->live.faults.dead || s->live.faults.noisy))
        return options_refuse(table, err, "--dead and --noisy go with --stream, not --out");
    if (o->stream && !o->endpoint) return options_refuse(table, err, "--stream needs --bins");
    if (o->stream && source_check(o, err)) return options_refuse(table, err, "%s", err->text);
    return 0;
}

static int settings_read(struct settings *s, int argc, char **argv, struct latent_error *err)
{
    struct source_options *o = &s->live.source;
    const struct option_row rows[] = {
        OPTION_TEXT("recipe", "FILE", &s->recipe, "what to simulate (JSON)"),
        OPTION_TEXT("out", "FILE", &s->out, "write the recipe's data set (HDF5)"),
        SOURCE_ROWS(o),
        OPTION_TEXT("truth", "ENDPOINT", &s->live.truth,
                    "bind here and publish the true latents as NAME/truth"),
        OPTION_NUMBER("seconds", "N", &s->seconds, 0, OPTION_ANY_NUMBER,
                      "how much signal to send (default: without end)"),
        OPTION_WHOLE("bins-limit", "N", &s->live.n_bins, 0, OPTION_ANY_WHOLE, "the same in bins"),
        OPTION_WHOLE("seed", "N", &s->live.seed, 0, OPTION_ANY_WHOLE,
                     "of the live trials and spikes\n(default: the recipe's)"),
        OPTION_TEXT("dead", "LIST", &s->live.faults.dead,
                    "channels that give nothing, like 3,17,40-43 (from 0)"),
        OPTION_TEXT("noisy", "LIST", &s->live.faults.noisy,
                    "channels that give 20 times as many spikes"),
        OPTION_NUMBER("bad-from", "SECONDS", &s->live.faults.from_s, 0, OPTION_ANY_NUMBER,
                      "they are well before (default: 0)"),
        OPTION_NUMBER("bad-for", "SECONDS", &s->live.faults.seconds, 0, OPTION_ANY_NUMBER,
                      "and again after so long (default: never)"),
        {0},
    };
    const struct option_table table = {
        .program = PROGRAM,
        .purpose = "simulated spikes from known dynamics",
        .usage = "--recipe FILE --out DATA.h5\n"
                 "       " PROGRAM " --recipe FILE --stream NAME --bins ENDPOINT ...",
        .rows = rows,
        .notes = "Exit: 0 done; 1 a file or an endpoint is not as it must be; 2 a mistake in the\n"
                 "command line.\n"};
    int status = options_read(&table, argc, argv, NULL, err);
    return status == OPTIONS_RUN ? settings_check(&table, s, err) : status;
}

/* --seconds and --bins-limit: whichever ends first. */
static uint64_t bins_limit(const struct settings *s, uint32_t bin_width_us)
{
    uint64_t n_bins = (uint64_t)(s->seconds * 1e6 / bin_width_us + 0.5);
    if (s->seconds > 0.0 && n_bins == 0) n_bins = 1;
    if (n_bins == 0 || (s->live.n_bins > 0 && s->live.n_bins < n_bins)) return s->live.n_bins;
    return n_bins;
}

static int recipe_run(struct settings *s, const struct recipe *recipe, struct latent_error *err)
{
    int status;
    struct world *world = world_new(recipe);
    if (!world) return error_text(err, LATENT_E_NOMEM, "out of memory");
    if (s->out) {
        status = dataset_write(recipe, world, s->out, err);
    } else {
        status = live_check_faults(&s->live.faults, recipe->n_channels, err);
        if (s->live.seed == NO_SEED) s->live.seed = recipe->seed;
        s->live.n_bins = bins_limit(s, recipe->bin_width_us);
        if (!status) status = live_run(world, &s->live, err);
    }
    world_free(world);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .live = {.source = {.program = PROGRAM, .socket = "pub", .attach = "connect", .batch = 1},
                 .seed = NO_SEED},
    };
    struct recipe recipe;
    struct latent_error err = {0};

    int status = settings_read(&settings, argc, argv, &err);
    if (status == OPTIONS_DONE) return PROGRAM_DONE;
    if (status) return options_fail(PROGRAM, PROGRAM_MISUSED, &err);
    status = recipe_load(&recipe, settings.recipe, &err);
    if (!status) {
        status = recipe_run(&settings, &recipe, &err);
        recipe_free(&recipe);
    }
    return status ? options_fail(PROGRAM, PROGRAM_FAILED, &err) : PROGRAM_DONE;
}
