/* Sums over bins, from which bits per spike and R2 follow. */
#include "latent-decode/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAST_EXPECTED 1e-9 /* counts per bin: a rate of zero would cost infinitely */

/* Sums of one column of an output: y against which, e = found - y. */
struct column {
    double n, y, y_squared, e_squared;
};

struct comparison {
    const struct latent_info *info;
    size_t n_scored;             /* channels that have a rate */
    double *spikes, *bins;       /* [n_scored] */
    double fit_found, fit_other; /* sums of count log(expected) - expected */
    struct column *rates, *readout;
};

struct comparison *comparison_new(const struct latent_info *info)
{
    struct comparison *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->info = info;
    c->n_scored = info->n_rates < info->n_channels ? info->n_rates : info->n_channels;
    c->spikes = calloc(c->n_scored + 1, sizeof *c->spikes);
    c->bins = calloc(c->n_scored + 1, sizeof *c->bins);
    c->rates = calloc(info->n_rates + 1, sizeof *c->rates);
    c->readout = calloc(info->n_readout + 1, sizeof *c->readout);
    if (c->spikes && c->bins && c->rates && c->readout) return c;
    comparison_free(c);
    return NULL;
}

void comparison_free(struct comparison *c)
{
    if (!c) return;
    free(c->spikes);
    free(c->bins);
    free(c->rates);
    free(c->readout);
    free(c);
}

/* Bins that one of the two does not answer (outside a trial) are left out. */
static void columns_add(struct column *columns, size_t width, const float *found,
                        const float *against)
{
    for (size_t i = 0; i < width; i++) {
        double y = (double)against[i], e = (double)found[i] - y;
        if (!isfinite(e)) continue;
        columns[i].n += 1.0;
        columns[i].y += y;
        columns[i].y_squared += y * y;
        columns[i].e_squared += e * e;
    }
}

static double fit(double count, double expected)
{
    expected = fmax(expected, LEAST_EXPECTED);
    return count * log(expected) - expected;
}

static void spikes_add(struct comparison *c, const float *counts, const float *found,
                       const float *against)
{
    double bin_s = c->info->bin_width_us * 1e-6;
    for (size_t i = 0; i < c->n_scored; i++) {
        double a = (double)found[i] * bin_s, b = (double)against[i] * bin_s;
        if (!isfinite(a) || !isfinite(b)) continue;
        c->spikes[i] += (double)counts[i];
        c->bins[i] += 1.0;
        c->fit_found += fit((double)counts[i], a);
        c->fit_other += fit((double)counts[i], b);
    }
}

void comparison_add(struct comparison *c, size_t n, const float *counts, struct compared found,
                    struct compared against)
{
    size_t n_channels = c->info->n_channels, n_rates = c->info->n_rates,
           n_readout = c->info->n_readout;
    for (size_t t = 0; t < n && n_rates; t++) {
        const float *a = found.rates + t * n_rates, *b = against.rates + t * n_rates;
        columns_add(c->rates, n_rates, a, b);
        spikes_add(c, counts + t * n_channels, a, b);
    }
    for (size_t t = 0; t < n && n_readout; t++)
        columns_add(c->readout, n_readout, found.readout + t * n_readout,
                    against.readout + t * n_readout);
}

static double spikes_total(const struct comparison *c)
{
    double total = 0.0;
    for (size_t i = 0; i < c->n_scored; i++) total += c->spikes[i];
    return total;
}

/* The fit of each channel's mean count. */
static double fit_of_means(const struct comparison *c)
{
    double sum = 0.0;
    for (size_t i = 0; i < c->n_scored; i++)
        if (c->spikes[i] > 0.0) sum += c->spikes[i] * (log(c->spikes[i] / c->bins[i]) - 1.0);
    return sum;
}

double comparison_loss(const struct comparison *c)
{
    return (c->fit_other - c->fit_found) / (spikes_total(c) * log(2.0));
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One line: R2 of the columns that vary. */
static void r2_print(const char *name, const struct column *columns, size_t width)
{
    double *r2 = malloc((width + 1) * sizeof *r2);
    size_t n = 0;
    for (size_t i = 0; r2 && i < width; i++) {
        const struct column *s = &columns[i];
        double varies = s->n > 0.0 ? s->y_squared - s->y * s->y / s->n : 0.0;
        if (varies > 1e-12 * s->y_squared) r2[n++] = 1.0 - s->e_squared / varies;
    }
    if (n) {
        qsort(r2, n, sizeof *r2, double_compare);
        printf("  %-10s R2 median %.6f, least %.6f, of %zu\n", name, r2[n / 2], r2[0], n);
    } else if (width)
        printf("  %-10s R2 -: nothing varies\n", name);
    free(r2);
}

void comparison_print(const struct comparison *c, const char *precision, const char *against)
{
    double bits = spikes_total(c) * log(2.0), means = fit_of_means(c);
    printf("%s against %s\n", precision, against);
    if (c->n_scored && bits > 0.0)
        printf("  bits/spike %.5f against %.5f: %.5f lost\n", (c->fit_found - means) / bits,
               (c->fit_other - means) / bits, comparison_loss(c));
    r2_print("rates", c->rates, c->info->n_rates);
    r2_print("readout", c->readout, c->info->n_readout);
}
