/* Which options go together, and what they mean. */
#include "data/input.h"

#include <math.h>
#include <string.h>

#include "base/text.h"

#define WIDTH_MIN_MS 0.1
#define WIDTH_MAX_MS 10000.0

enum h5in_axes reader_axes(const struct reader_options *options)
{
    return options->transpose   ? H5IN_AXES_REVERSED
           : options->as_stored ? H5IN_AXES_STORED
                                : H5IN_AXES_ASK;
}

uint32_t reader_input(const struct reader_options *o)
{
    bool is_real = o->input && strcmp(o->input, latent_input_name(LATENT_INPUT_REAL)) == 0;
    return is_real ? LATENT_INPUT_REAL : LATENT_INPUT_COUNTS;
}

int reader_check(const struct reader_options *o, struct latent_error *err)
{
    bool is_real = reader_input(o) == LATENT_INPUT_REAL;
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
        {o->input && !is_real && strcmp(o->input, latent_input_name(LATENT_INPUT_COUNTS)) != 0,
         "--input: expected counts or real"},
        {o->ticks && is_real, "--ticks gives counts: without --input real"},
        {o->transpose && o->as_stored, "--transpose and --as-stored do not go together"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].broken) return error_text(err, LATENT_E_CONFIG, "%s", rules[i].text);
    return 0;
}

int reader_width(double width_ms, const char *where, uint32_t *out_us, struct latent_error *err)
{
    double width_us = width_ms * 1000.0;

    if (width_ms < WIDTH_MIN_MS && width_us >= WIDTH_MIN_MS && width_us <= WIDTH_MAX_MS)
        return error_text(err, LATENT_E_CONFIG,
                          "%s: bins of %g ms: expected %g to %g; %g seconds are %g ms", where,
                          width_ms, WIDTH_MIN_MS, WIDTH_MAX_MS, width_ms, width_us);
    if (width_ms < WIDTH_MIN_MS || width_ms > WIDTH_MAX_MS ||
        fabs(width_us - round(width_us)) > 1e-3)
        return error_text(err, LATENT_E_CONFIG,
                          "%s: bins of %.9g ms: expected %g to %g ms, in whole microseconds", where,
                          width_ms, WIDTH_MIN_MS, WIDTH_MAX_MS);
    *out_us = (uint32_t)lround(width_us);
    return 0;
}
