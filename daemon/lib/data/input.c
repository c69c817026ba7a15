/* Which options go together, and which values are of a kind. */
#include "data/input.h"

#include <math.h>
#include <string.h>

#include "base/text.h"

#define COUNTS_END 16777216.0f

enum h5in_axes reader_axes(const struct reader_options *options)
{
    return options->transpose   ? H5IN_AXES_REVERSED
           : options->as_stored ? H5IN_AXES_STORED
                                : H5IN_AXES_ASK;
}

size_t reader_find_bad(bool real, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = values[i];
        bool good = real ? isfinite(x) : x >= 0.0f && x < COUNTS_END && x == floorf(x);
        if (!good) return i;
    }
    return n;
}

int reader_check(const struct reader_options *o, struct latent_error *err)
{
    const char *kind = o->input;
    const struct {
        int broken;
        const char *text;
    } rules[] = {
        {!o->in && !o->ticks, "--in or --ticks is missing"},
        {o->in && o->ticks, "--in and --ticks do not go together"},
        {o->ticks && !o->units && !h5in_is_group(o->ticks), "--ticks needs --units"},
        {o->ticks && o->bin_ms <= 0.0, "--ticks needs --bin-ms"},
        {o->in && (o->units || o->good || o->clock_hz > 0.0),
         "--units, --good and --clock-hz go with --ticks"},
        {kind && strcmp(kind, "counts") != 0 && strcmp(kind, "real") != 0,
         "--input: expected counts or real"},
        {o->ticks && kind && strcmp(kind, "real") == 0,
         "--ticks gives counts: without --input real"},
        {o->transpose && o->as_stored, "--transpose and --as-stored do not go together"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].broken) return error_text(err, LATENT_E_CONFIG, "%s", rules[i].text);
    return 0;
}
