/* latent-sim: simulated acquisition, as a data set or live. */
#include <stdio.h>

#include "base/text.h"
#include "command/options.h"
#include "latent-sim/dataset.h"
#include "latent-sim/live.h"
#include "latent-sim/recipe.h"
#include "latent-sim/world.h"

#define PROGRAM "latent-sim"
#define NO_SEED UINT64_MAX

struct settings {
    const char *recipe, *out;
    struct live_options live;
    double seconds;
};

static int settings_check(const struct settings *s, struct latent_error *err)
{
    if (!s->recipe) return error_text(err, LATENT_E_CONFIG, "--recipe is needed: see --help");
    if (!s->out == !s->live.source.stream)
        return error_text(err, LATENT_E_CONFIG,
                          "either --out (a data set) or --stream (live) is needed: see --help");
    if (s->live.source.stream && !s->live.source.endpoint)
        return error_text(err, LATENT_E_CONFIG,
                          "--stream needs --bins, the endpoint that the bins go to");
    return 0;
}

static int settings_read(struct settings *s, int argc, char **argv, struct latent_error *err)
{
    struct source_options *o = &s->live.source;
    const struct option_row rows[] = {
        {"recipe", "FILE", OPTION_TEXT, &s->recipe, "what to simulate (JSON)"},
        {"out", "FILE", OPTION_TEXT, &s->out, "write the recipe's data set (HDF5)"},
        {"stream", "NAME", OPTION_TEXT, &o->stream, "publish live as NAME/bins"},
        {"bins", "ENDPOINT", OPTION_TEXT, &o->endpoint, "where the bins go"},
        {"socket", "KIND", OPTION_TEXT, &o->socket, "pub (default) or push"},
        {"attach", "HOW", OPTION_TEXT, &o->attach, "connect (default) or bind"},
        SOURCE_KEY_ROWS(o),
        {"truth", "ENDPOINT", OPTION_TEXT, &s->live.truth,
         "bind and publish the truth as NAME/truth"},
        {"seconds", "N", OPTION_NUMBER, &s->seconds, "signal to send (default: no end)"},
        {"bins-limit", "N", OPTION_WHOLE, &s->live.n_bins, "the same in bins"},
        {"seed", "N", OPTION_WHOLE, &s->live.seed,
         "of the live trials and spikes (default: the recipe's)"},
        {"batch", "N", OPTION_WHOLE, &o->batch, "bins per message (default 1)"},
        {"start-after-subscriber", NULL, OPTION_SWITCH, &o->after_subscriber,
         "the first bin waits for a receiver"},
        {"full-speed", NULL, OPTION_SWITCH, &o->full_speed, "as fast as the bins are taken"},
        {0},
    };
    const struct option_table table = {PROGRAM, "simulated spikes from known dynamics",
                                       PROGRAM " --recipe R.json --out DATA.h5\n"
                                               "       " PROGRAM
                                               " --recipe R.json --stream NAME --bins ENDPOINT ...",
                                       rows};
    int status = options_parse(&table, argc, argv, err);
    return status == OPTIONS_RUN ? settings_check(s, err) : status;
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
        if (s->live.seed == NO_SEED) s->live.seed = recipe->seed;
        s->live.n_bins = bins_limit(s, recipe->bin_width_us);
        status = live_run(world, &s->live, err);
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
    struct latent_error err;

    int status = settings_read(&settings, argc, argv, &err);
    if (status == OPTIONS_DONE) return 0;
    if (!status) status = recipe_load(&recipe, settings.recipe, &err);
    if (!status) {
        status = recipe_run(&settings, &recipe, &err);
        recipe_free(&recipe);
    }
    if (status) fprintf(stderr, PROGRAM ": %s\n", err.text);
    return status ? 1 : 0;
}
