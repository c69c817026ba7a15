/* Clocks: who says what a tick is, and which times can be its ticks. */
#include "data/clock.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "data/h5attr.h"

#define UNIT_TEXT 64                 /* bytes of a unit that are looked at */
#define TICKS_END 9007199254740992.0 /* where doubles begin to leave whole numbers out */

/* "1/30000 s", perhaps with a remark behind a comma: a clock by its period. */
static double period_hz(const char *word)
{
    char *end;
    double hz;
    if (strncmp(word, "1/", 2) != 0) return -1.0;
    hz = strtod(word + 2, &end);
    if (strncmp(end, " s", 2) != 0 || (end[2] && end[2] != ',')) return -1.0;
    return hz > 0.0 && isfinite(hz) ? hz : -1.0;
}

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
    return period_hz(word);
}

/* What the attribute unit or units says of the dataset's own times, as word_hz; "" when it has
 * neither. */
static double unit_hz(const struct h5in *in, char word[UNIT_TEXT])
{
    if (!h5attr_text(in->dataset, "unit", word, UNIT_TEXT) &&
        !h5attr_text(in->dataset, "units", word, UNIT_TEXT))
        word[0] = 0;
    return word_hz(word);
}

/* A unit that nobody knows is overruled by the option only. */
int clock_find(const struct h5in *in, const char *option, double option_hz, double *hz,
               struct latent_error *err)
{
    const struct h5fact clock = {.option = option,
                                 .what = "a clock of",
                                 .unit = "Hz",
                                 .attributes = {{"clock_hz", 1.0}},
                                 .option_over_file = true};
    char word[UNIT_TEXT];
    double by_unit = unit_hz(in, word);
    int status = h5fact_find(in->dataset, in->file, in->name, &clock, option_hz, hz, err);
    if (status || by_unit == 0.0) return status;
    if (option_hz <= 0.0 && by_unit < 0.0)
        return error_text(err, LATENT_E_FORMAT,
                          "input %s: its unit is \"%s\": expected seconds, milliseconds, "
                          "microseconds, 1/HZ s or ticks; else give %s",
                          in->name, word, option);
    if (*hz > 0.0 && by_unit > 0.0 && *hz != by_unit)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: its unit says a clock of %g Hz, something else says %g: give "
                          "%s %g if the unit is right",
                          in->name, by_unit, *hz, option, by_unit);
    if (by_unit > 0.0) *hz = by_unit;
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
