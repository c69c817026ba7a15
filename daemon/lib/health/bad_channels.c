/* Exponentially weighted moments against limits that are worked out once for each model. */
#include "health/bad_channels.h"

#include <math.h>
#include <stdlib.h>

#define TAU_S 30.0
#define LEVEL_S 2.0 /* counts: what their variance is about, so that a rate that steps has none */
#define DEAD_S 20.0
#define DEAD_COUNTS 100.0 /* that training would have had meanwhile */
#define LOUD_S 5.0
#define WIDE_S 30.0
#define GOOD_S 60.0
#define LEAST_HZ 0.5 /* below it silence says nothing, and a spike is no noise */
#define DEAD_RATE 0.05
#define DEAD_VARIANCE 0.01
#define NOISY_RATE 5.0
#define NOISY_VARIANCE 10.0
#define FAR_COUNTS_SD 20.0 /* a value counts as at most so far off */
#define FAR_REAL_SD 10.0
#define ARTEFACT_SD 4.0 /* that half of the channels are off in an artefact */
#define ARTEFACTS 0.1   /* a larger share of bins is what the input is like */

/* What is judged, inside of which all is well. Where a limit is infinite nothing is. */
struct limits {
    double mean_low, mean_high, variance_low, variance_high;
};

struct channel {
    struct limits limits;
    double training_mean, sd; /* sd: of training; 0: it has none */
    double clip;
    uint64_t dead_bins; /* that it takes */
    /* Now. */
    double mean, level, variance, zeros, saturated;
    enum bad_channels_verdict verdict;
    uint64_t n_low, n_loud, n_wide,
        n_inside; /* bins in a row: beyond a limit; inside half of all */
};

struct bad_channels {
    uint32_t n_channels;
    bool is_real, has_variance;
    double bin_s, share, level_share; /* of a bin in the averages; in the level */
    uint64_t loud_bins, wide_bins, good_bins;
    uint64_t n_bins, n_artefacts;
    double artefacts; /* share of bins */
    struct channel *channels;
};

const char *bad_channels_verdict_name(enum bad_channels_verdict verdict)
{
    static const char *const names[] = {
        [CHANNEL_GOOD] = "good", [CHANNEL_DEAD] = "dead", [CHANNEL_NOISY] = "noisy"};

    return names[verdict];
}

const char *bad_channels_basis(const struct latent_info *info, const char **why)
{
    bool is_real = info->input == LATENT_INPUT_REAL;

    *why = is_real ? "the model file holds no training mean and variance"
                   : "the model file holds no training mean";
    if (!info->channel_mean || (is_real && !info->channel_variance)) return NULL;
    if (is_real) return "variance";
    return info->channel_variance ? "rate and variance" : "rate alone";
}

/* ---- limits ---- */

static uint64_t bins_of(const struct bad_channels *b, double seconds)
{
    return (uint64_t)ceil(seconds / b->bin_s);
}

/* A real channel that stood still in training is not judged. */
static void train_real(struct channel *c, const float *of_training)
{
    double variance = of_training ? (double)*of_training : 0.0;
    bool varies = variance > 0.0;

    c->sd = sqrt(variance);
    c->limits =
        (struct limits){.mean_low = -(double)INFINITY,
                        .mean_high = (double)INFINITY,
                        .variance_low = varies ? DEAD_VARIANCE * variance : -(double)INFINITY,
                        .variance_high = varies ? NOISY_VARIANCE * variance : (double)INFINITY};
}

/* Without a variance, sd is that of spikes that come by chance. */
static void train_counts(const struct bad_channels *b, struct channel *c, const float *variance)
{
    double least = LEAST_HZ * b->bin_s, m = c->training_mean;
    double spread = fmax(variance ? (double)*variance : m, least);

    c->sd = sqrt(spread);
    c->limits =
        (struct limits){.mean_low = m >= least ? DEAD_RATE * m : -(double)INFINITY,
                        .mean_high = NOISY_RATE * fmax(m, least),
                        .variance_low = -(double)INFINITY,
                        .variance_high = variance ? NOISY_VARIANCE * spread : (double)INFINITY};
    if (m >= least) c->dead_bins = bins_of(b, fmax(DEAD_S, DEAD_COUNTS * b->bin_s / m));
}

void bad_channels_train(struct bad_channels *b, const struct latent_info *info)
{
    const float *variance = info->channel_variance;

    b->is_real = info->input == LATENT_INPUT_REAL;
    b->has_variance = variance != NULL;
    b->level_share = b->is_real ? b->share : -expm1(-b->bin_s / LEVEL_S);
    for (uint32_t i = 0; i < b->n_channels; i++) {
        struct channel *c = &b->channels[i];

        c->training_mean = (double)info->channel_mean[i];
        c->clip = info->channel_clip ? (double)info->channel_clip[i] : (double)INFINITY;
        c->dead_bins = bins_of(b, DEAD_S);
        if (b->is_real)
            train_real(c, variance ? &variance[i] : NULL);
        else
            train_counts(b, c, variance ? &variance[i] : NULL);
    }
}

struct bad_channels *bad_channels_new(const struct latent_info *info)
{
    struct bad_channels *b = calloc(1, sizeof *b);

    if (!b) return NULL;
    *b = (struct bad_channels){.n_channels = info->n_channels,
                               .bin_s = 1e-6 * info->bin_width_us,
                               .channels = calloc(info->n_channels, sizeof *b->channels)};
    if (!b->channels) {
        free(b);
        return NULL;
    }
    b->share = -expm1(-b->bin_s / TAU_S);
    b->loud_bins = bins_of(b, LOUD_S);
    b->wide_bins = bins_of(b, WIDE_S);
    b->good_bins = bins_of(b, GOOD_S);
    bad_channels_train(b, info);
    for (uint32_t i = 0; i < b->n_channels; i++) {
        b->channels[i].mean = b->channels[i].level = b->channels[i].training_mean;
        b->channels[i].variance = b->channels[i].sd * b->channels[i].sd;
    }
    return b;
}

void bad_channels_free(struct bad_channels *b)
{
    if (!b) return;
    free(b->channels);
    free(b);
}

/* ---- a bin ---- */

static bool is_artefact(const struct bad_channels *b, const float *counts)
{
    uint32_t n_good = 0, n_off = 0;

    for (uint32_t i = 0; i < b->n_channels; i++) {
        const struct channel *c = &b->channels[i];

        if (c->verdict != CHANNEL_GOOD || c->sd <= 0.0) continue;
        n_good++;
        n_off += fabs((double)counts[i] - c->training_mean) > ARTEFACT_SD * c->sd;
    }
    return 2 * n_off > n_good;
}

static double hold_within(double x, double most)
{
    if (most <= 0.0) return x;
    if (x > most) return most;
    return x < -most ? -most : x;
}

/* What comes by chance is (1 + share / (2 - share)) further off an average of what was before than
 * off its mean. */
static void average(const struct bad_channels *b, struct channel *c, double x)
{
    double far = (b->is_real ? FAR_REAL_SD : FAR_COUNTS_SD) * c->sd;
    double off_mean = hold_within(x - c->mean, far), off_level = hold_within(x - c->level, far);
    double square = off_level * off_level * (1.0 - b->level_share / 2.0);

    c->mean += b->share * off_mean;
    c->level += b->level_share * off_level;
    c->variance += b->share * (square - c->variance);
    c->zeros += b->share * ((x == 0.0 ? 1.0 : 0.0) - c->zeros);
    c->saturated += b->share * ((x >= c->clip ? 1.0 : 0.0) - c->saturated);
}

static bool is_well_inside(const struct channel *c)
{
    const struct limits *l = &c->limits;

    return c->mean > 2.0 * l->mean_low && c->mean < l->mean_high / 2.0 &&
           c->variance > 2.0 * l->variance_low && c->variance < l->variance_high / 2.0;
}

static void count_run(uint64_t *n, bool goes_on)
{
    *n = goes_on ? *n + 1 : 0;
}

static void judge(const struct bad_channels *b, struct channel *c)
{
    const struct limits *l = &c->limits;

    count_run(&c->n_low, c->mean < l->mean_low || c->variance < l->variance_low);
    count_run(&c->n_loud, c->mean > l->mean_high);
    count_run(&c->n_wide, c->variance > l->variance_high);
    count_run(&c->n_inside, is_well_inside(c));
    if (c->n_inside >= b->good_bins) c->verdict = CHANNEL_GOOD;
    if (c->n_low >= c->dead_bins) c->verdict = CHANNEL_DEAD;
    if (c->n_loud >= b->loud_bins || c->n_wide >= b->wide_bins) c->verdict = CHANNEL_NOISY;
}

void bad_channels_add(struct bad_channels *b, const float *counts)
{
    bool artefact = is_artefact(b, counts);

    b->n_bins++;
    b->artefacts += b->share * ((artefact ? 1.0 : 0.0) - b->artefacts);
    if (artefact && b->artefacts <= ARTEFACTS) {
        b->n_artefacts++;
        return;
    }
    for (uint32_t i = 0; i < b->n_channels; i++) {
        average(b, &b->channels[i], (double)counts[i]);
        judge(b, &b->channels[i]);
    }
}

void bad_channels_leave_out(struct bad_channels *b)
{
    b->n_bins++;
    b->n_artefacts++;
}

/* ---- reading ---- */

uint32_t bad_channels_size(const struct bad_channels *b)
{
    return b->n_channels;
}

enum bad_channels_verdict bad_channels_verdict(const struct bad_channels *b, uint32_t channel)
{
    return b->channels[channel].verdict;
}

void bad_channels_read(const struct bad_channels *b, uint32_t channel,
                       struct bad_channels_summary *out)
{
    const struct channel *c = &b->channels[channel];
    bool is_known = b->has_variance && c->sd > 0.0;

    *out = (struct bad_channels_summary){
        .verdict = c->verdict,
        .mean = c->mean,
        .variance = c->variance,
        .z = is_known ? (c->mean - c->training_mean) / c->sd : (double)NAN,
        .variance_ratio = is_known ? c->variance / (c->sd * c->sd) : (double)NAN,
        .zeros = c->zeros,
        .saturated = c->saturated};
}

uint64_t bad_channels_bins(const struct bad_channels *b)
{
    return b->n_bins;
}

uint64_t bad_channels_artefacts(const struct bad_channels *b)
{
    return b->n_artefacts;
}
