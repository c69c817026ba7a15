/* Clocks: who says what a tick is, and which times can be its ticks. */
#include "data/clock.h"

#include <float.h>
#include <math.h>
#include <strings.h>

#include "base/text.h"
#include "data/h5attr.h"

#define TICKS_END 9007199254740992.0 /* where doubles begin to leave whole numbers out */

/* 0: a word for ticks, of whatever clock; negative: unknown. */
static double word_hz(const char *word)
{
    static const struct {
        const char *word;
        double hz;
    } words[] = {
        {"seconds", 1.0},      {"second", 1.0},      {"sec", 1.0},   {"s", 1.0},
        {"milliseconds", 1e3}, {"millisecond", 1e3}, {"ms", 1e3},    {"microseconds", 1e6},
        {"microsecond", 1e6},  {"us", 1e6},          {"ticks", 0.0}, {"tick", 0.0},
        {"samples", 0.0},      {"sample", 0.0},      {"", 0.0},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(words[i].word, word) == 0) return words[i].hz;
    return -1.0;
}

/* What the attribute unit or units says of the dataset's own times. */
static int unit_find(const struct h5in *in, double *hz, struct latent_error *err)
{
    char word[32];
    *hz = 0.0;
    if (!h5attr_text(in->dataset, "unit", word, sizeof word) &&
        !h5attr_text(in->dataset, "units", word, sizeof word))
        return 0;
    *hz = word_hz(word);
    if (*hz >= 0.0) return 0;
    return error_text(err, LATENT_E_FORMAT,
                      "input %s: its unit is \"%s\": expected seconds, milliseconds, microseconds "
                      "or ticks",
                      in->name, word);
}

int clock_find(const struct h5in *in, const char *option, double option_hz, double *hz,
               struct latent_error *err)
{
    const struct h5fact clock = {.option = option,
                                 .what = "a clock of",
                                 .unit = "Hz",
                                 .attributes = {{"clock_hz", 1.0}},
                                 .option_over_file = true};
    double by_unit;
    int status = unit_find(in, &by_unit, err);
    if (!status) status = h5fact_find(in->dataset, in->file, in->name, &clock, option_hz, hz, err);
    if (status || by_unit <= 0.0) return status;
    if (*hz > 0.0 && *hz != by_unit)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: its unit says a clock of %g Hz, something else says %g: give "
                          "%s %g if the unit is right",
                          in->name, by_unit, *hz, option, by_unit);
    *hz = by_unit;
    return 0;
}

int clock_check(const struct h5in *in, double hz, const char *option, const double *times, size_t n,
                struct latent_error *err)
{
    bool fractions = hz == 1.0 || hz == 1e3 || hz == 1e6;
    for (size_t i = 0; i < n; i++) {
        double x = times[i];
        if (!isfinite(x) || x < 0.0 || x >= TICKS_END)
            return error_text(err, LATENT_E_VALUE,
                              "input %s: value %zu: expected a number from 0 to below %g, found %g",
                              in->name, i, TICKS_END, x);
        if (!fractions && x != floor(x))
            return error_text(err, LATENT_E_VALUE,
                              "input %s: value %zu: expected a whole tick of a clock of %g Hz, "
                              "found %.10g: times in seconds need %s 1",
                              in->name, i, hz, x, option);
    }
    return 0;
}

double clock_bin(double time, double start, double width)
{
    double bin = (time - start) / width, whole = round(bin);
    double rounding = 4.0 * DBL_EPSILON * (fabs(time) + fabs(start)) / width;
    return fabs(bin - whole) <= rounding ? whole : floor(bin);
}
