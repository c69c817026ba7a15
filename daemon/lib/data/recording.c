/* The choice between the two forms of recording, and what each needs. */
#include "data/recording.h"

#include <assert.h>
#include <stdlib.h>

#include "base/text.h"
#include "data/binned.h"
#include "data/ticks.h"

struct reader {
    struct reader_shape shape;
    struct binned *binned; /* one of the two */
    struct ticks *ticks;
};

int reader_check(const struct reader_options *o, struct latent_error *err)
{
    int of_ticks = o->units || o->good || o->clock_hz > 0.0 || o->start_s > 0.0;
    const struct {
        int broken;
        const char *text;
    } rules[] = {
        {!o->in && !o->ticks, "--in or --ticks is missing"},
        {o->in && o->ticks, "--in and --ticks do not go together"},
        {o->ticks && !o->units, "--ticks needs --units"},
        {o->ticks && o->bin_ms <= 0.0, "--ticks needs --bin-ms"},
        {o->in && of_ticks, "--units, --good, --clock-hz and --start belong to --ticks"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].broken) return error_text(err, LATENT_E_CONFIG, "%s", rules[i].text);
    return 0;
}

int reader_open(struct reader **out, const struct reader_options *options, struct latent_error *err)
{
    *out = NULL;
    int status = reader_check(options, err);
    if (status) return status;
    struct reader *reader = calloc(1, sizeof *reader);
    if (!reader) return error_text(err, LATENT_E_NOMEM, "out of memory");
    if (options->ticks)
        status = ticks_open(&reader->ticks, options, &reader->shape, err);
    else
        status = binned_open(&reader->binned, options, &reader->shape, err);
    if (status) {
        reader_close(reader);
        return status;
    }
    *out = reader;
    return 0;
}

const struct reader_shape *reader_shape(const struct reader *reader)
{
    return &reader->shape;
}

int reader_rows(struct reader *reader, size_t trial, size_t first, size_t n, float *counts,
                struct latent_error *err)
{
    assert(trial < reader->shape.n_trials && first + n <= reader->shape.n_bins);
    if (reader->binned) return binned_rows(reader->binned, trial, first, n, counts, err);
    ticks_rows(reader->ticks, first, n, counts);
    return 0;
}

void reader_close(struct reader *reader)
{
    if (!reader) return;
    binned_close(reader->binned);
    ticks_close(reader->ticks);
    free(reader);
}
