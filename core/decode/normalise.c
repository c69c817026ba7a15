/* One pass over the channels a bin, and one over the ring a trial. */
#include "decode/normalise.h"

#include <math.h>
#include <string.h>

#define TAU_S 120.0
#define BOUND_SD 3.0
#define SD_RATIO 3.0 /* from a third to three times that of the file */
#define EPS 1e-8
#define WINDOW_TRIALS 20
#define MIN_TRIALS 10
#define MAX_TRIALS 1000

enum { FLAG_FROZEN, FLAG_IN_TRIAL, N_FLAGS };
enum { COUNT_VERSION, COUNT_PLACE, COUNT_TRIALS, N_COUNTS };

/* ---- the declaration ---- */

static const char *const kinds[] = {[LATENT_NORMALISE_NONE] = "",
                                    [LATENT_NORMALISE_FIXED] = "fixed",
                                    [LATENT_NORMALISE_EWMA] = "ewma",
                                    [LATENT_NORMALISE_WINDOW_TRIALS] = "window-trials",
                                    NULL};

const char *latent_normalise_name(uint32_t kind)
{
    return kind <= LATENT_NORMALISE_WINDOW_TRIALS ? kinds[kind] : "";
}

size_t normalise_array_bytes(size_t n_channels)
{
    return 2 * (n_channels * sizeof(double) + ARENA_ALIGN);
}

/* Finite numbers [C], none below min. */
static const double *numbers_read(struct fields *c, const char *key, size_t n, double min,
                                  struct arena *arrays)
{
    json_t *list = fields_array(c, key, n, n), *item;
    double *numbers = arena_doubles(arrays, n);
    size_t i;
    json_array_foreach(list, i, item)
    {
        numbers[i] = json_number_value(item);
        if (!json_is_number(item) || !isfinite(numbers[i]) || numbers[i] < min)
            fields_refuse(c, LATENT_E_CONFIG, key,
                          "expected item %zu to be a finite number of at least %g", i, min);
    }
    return numbers;
}

static double number_or(struct fields *c, const char *key, double min, double max, double otherwise)
{
    return fields_has(c, key) ? fields_number(c, key, min, max) : otherwise;
}

static size_t whole_or(struct fields *c, const char *key, long long max, size_t otherwise)
{
    return fields_has(c, key) ? (size_t)fields_int(c, key, 1, max) : otherwise;
}

static void trials_read(struct normalise_rules *r, struct fields *c)
{
    r->window_trials = whole_or(c, "window_trials", MAX_TRIALS, WINDOW_TRIALS);
    r->min_trials = whole_or(c, "min_trials", MAX_TRIALS, MIN_TRIALS);
    if (!c->status && r->min_trials > r->window_trials)
        fields_refuse(c, LATENT_E_CONFIG, "min_trials",
                      "expected at most \"window_trials\" (%zu), found %zu", r->window_trials,
                      r->min_trials);
}

void normalise_read(struct normalise_rules *r, struct fields *c, size_t n_channels,
                    uint32_t bin_width_us, struct arena *arrays)
{
    r->kind = LATENT_NORMALISE_FIXED + (uint32_t)fields_choice(c, "kind", kinds + 1);
    if (c->status) return;
    r->mean = numbers_read(c, "mean", n_channels, -1e30, arrays);
    r->sd = numbers_read(c, "sd", n_channels, 0.0, arrays);
    r->eps = number_or(c, "eps", 0.0, 1.0, EPS);
    r->outlier = number_or(c, "outlier", 1e-3, 1e6, INFINITY);
    for (size_t i = 0; !c->status && i < n_channels; i++)
        if (r->sd[i] + r->eps <= 0.0)
            fields_refuse(c, LATENT_E_CONFIG, "sd",
                          "expected item %zu above 0, or an \"eps\" above 0", i);
    if (r->kind == LATENT_NORMALISE_WINDOW_TRIALS) trials_read(r, c);
    if (r->kind != LATENT_NORMALISE_EWMA) return;
    r->share = -expm1(-(double)bin_width_us * 1e-6 / number_or(c, "tau_s", 0.1, 1e6, TAU_S));
    r->bound = number_or(c, "bound_sd", 0.0, 1e3, BOUND_SD);
}

/* ---- life ---- */

static bool learns_trials(const struct normalise *s)
{
    return s->rules->kind == LATENT_NORMALISE_WINDOW_TRIALS;
}

void normalise_init(struct normalise *s, const struct normalise_rules *rules, size_t n_channels,
                    struct arena *state)
{
    *s = (struct normalise){.rules = rules, .n_channels = n_channels};
    if (rules->kind == LATENT_NORMALISE_NONE) return;
    size_t n_ring = learns_trials(s) ? (rules->window_trials + 1) * n_channels : 0;
    s->flags = arena_flags(state, N_FLAGS);
    s->counts = arena_counts(state, N_COUNTS);
    s->mean = arena_doubles(state, n_channels);
    s->spread = arena_doubles(state, n_channels);
    s->start = arena_doubles(state, learns_trials(s) ? 2 * n_channels : 0);
    s->n_bins = arena_doubles(state, n_ring);
    s->sum = arena_doubles(state, n_ring);
    s->square = arena_doubles(state, n_ring);
}

/* Mean and sd of the file, or the caller's, in use. */
static void start_from(struct normalise *s, const double *mean, const double *sd)
{
    bool squares = s->rules->kind == LATENT_NORMALISE_EWMA;
    memcpy(s->mean, mean, s->n_channels * sizeof *mean);
    for (size_t c = 0; c < s->n_channels; c++) s->spread[c] = squares ? sd[c] * sd[c] : sd[c];
    if (learns_trials(s)) {
        memcpy(s->start, mean, s->n_channels * sizeof *mean);
        memcpy(s->start + s->n_channels, sd, s->n_channels * sizeof *sd);
    }
    s->n_bounded = 0;
}

static void clear_rows(const struct normalise *s, size_t first, size_t n)
{
    size_t at = first * s->n_channels, n_bytes = n * s->n_channels * sizeof(double);
    memset(s->n_bins + at, 0, n_bytes);
    memset(s->sum + at, 0, n_bytes);
    memset(s->square + at, 0, n_bytes);
}

static void forget_trials(struct normalise *s)
{
    s->counts[COUNT_PLACE] = s->counts[COUNT_TRIALS] = 0;
    if (learns_trials(s)) clear_rows(s, 0, s->rules->window_trials + 1);
}

void normalise_clear(struct normalise *s)
{
    if (s->rules->kind == LATENT_NORMALISE_NONE) return;
    memset(s->flags, 0, N_FLAGS * sizeof *s->flags);
    s->counts[COUNT_VERSION] = 0;
    start_from(s, s->rules->mean, s->rules->sd);
    forget_trials(s);
}

void normalise_loaded(struct normalise *s)
{
    if (s->rules->kind == LATENT_NORMALISE_NONE) return;
    size_t n_window = learns_trials(s) ? s->rules->window_trials : 1;
    if (s->counts[COUNT_PLACE] >= n_window) s->counts[COUNT_PLACE] = 0;
    if (s->counts[COUNT_TRIALS] > n_window) s->counts[COUNT_TRIALS] = n_window;
    for (size_t c = 0; c < s->n_channels; c++) s->spread[c] = fabs(s->spread[c]);
    for (size_t c = 0; learns_trials(s) && c < s->n_channels; c++)
        s->start[s->n_channels + c] = fabs(s->start[s->n_channels + c]);
    s->n_bounded = 0;
}

/* ---- a bin ---- */

void normalise_run(const struct normalise *s, float *z, const float *x, const uint32_t *masked)
{
    bool squares = s->rules->kind == LATENT_NORMALISE_EWMA;
    double eps = s->rules->eps, outlier = s->rules->outlier;
    for (size_t c = 0; c < s->n_channels; c++) {
        double sd = squares ? sqrt(s->spread[c]) : s->spread[c];
        double value = ((double)x[c] - s->mean[c]) / (sd + eps);
        bool is_in = fabs(value) <= outlier && !(masked && masked[c]);
        z[c] = is_in ? (float)value : 0.0f;
    }
}

static double held(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static void follow_bin(struct normalise *s, const float *x, const uint32_t *masked)
{
    double a = s->rules->share;
    s->n_bounded = 0;
    for (size_t c = 0; c < s->n_channels; c++) {
        if (masked && masked[c]) continue;
        double mean0 = s->rules->mean[c], sd0 = s->rules->sd[c], reach = s->rules->bound * sd0;
        double off = (double)x[c] - s->mean[c], var0 = sd0 * sd0;
        double mean = s->mean[c] + a * off, var = s->spread[c] + a * (off * off - s->spread[c]);
        s->mean[c] = held(mean, mean0 - reach, mean0 + reach);
        s->spread[c] = held(var, var0 / (SD_RATIO * SD_RATIO), var0 * (SD_RATIO * SD_RATIO));
        s->n_bounded += mean < mean0 - reach || mean > mean0 + reach ||
                        var < var0 / (SD_RATIO * SD_RATIO) || var > var0 * (SD_RATIO * SD_RATIO);
    }
}

/* Row W is the trial that goes on. */
static void add_bin(const struct normalise *s, const float *x, const uint32_t *masked)
{
    size_t at = s->rules->window_trials * s->n_channels;
    for (size_t c = 0; c < s->n_channels; c++) {
        if (masked && masked[c]) continue;
        double off = (double)x[c] - s->rules->mean[c];
        s->n_bins[at + c] += 1.0;
        s->sum[at + c] += off;
        s->square[at + c] += off * off;
    }
}

/* Mean and sd of channel c over the trials of the ring, mixed with those of the file while there
 * are few. */
static void pool_channel(struct normalise *s, size_t c)
{
    const struct normalise_rules *r = s->rules;
    double n = 0.0, sum = 0.0, square = 0.0, n_trials = 0.0;
    for (size_t k = 0; k < s->counts[COUNT_TRIALS]; k++) {
        size_t at = k * s->n_channels + c;
        n += s->n_bins[at];
        sum += s->sum[at];
        square += s->square[at];
        n_trials += s->n_bins[at] > 0.0;
    }
    if (n <= 0.0) return;
    double off = sum / n, var = square / n - off * off;
    double mean = r->mean[c] + off, sd = var > 0.0 ? sqrt(var) : 0.0, most = (double)r->min_trials;
    if (n_trials < most) {
        mean = (n_trials * mean + (most - n_trials) * s->start[c]) / most;
        sd = (n_trials * sd + (most - n_trials) * s->start[s->n_channels + c]) / most;
    }
    s->mean[c] = mean;
    s->spread[c] = sd;
}

static bool has_bins(const struct normalise *s)
{
    const double *n_bins = s->n_bins + s->rules->window_trials * s->n_channels;
    for (size_t c = 0; c < s->n_channels; c++)
        if (n_bins[c] > 0.0) return true;
    return false;
}

/* The trial that goes on takes the place of the oldest. */
static void end_trial(struct normalise *s)
{
    size_t n = s->n_channels, n_window = s->rules->window_trials;
    size_t to = s->counts[COUNT_PLACE] * n, from = n_window * n;
    s->flags[FLAG_IN_TRIAL] = 0;
    if (has_bins(s)) {
        memcpy(s->n_bins + to, s->n_bins + from, n * sizeof *s->n_bins);
        memcpy(s->sum + to, s->sum + from, n * sizeof *s->sum);
        memcpy(s->square + to, s->square + from, n * sizeof *s->square);
        s->counts[COUNT_PLACE] = (s->counts[COUNT_PLACE] + 1) % n_window;
        if (s->counts[COUNT_TRIALS] < n_window) s->counts[COUNT_TRIALS]++;
        for (size_t c = 0; c < n; c++) pool_channel(s, c);
        s->counts[COUNT_VERSION]++;
    }
    clear_rows(s, n_window, 1);
}

void normalise_begin_bin(struct normalise *s, uint32_t marks)
{
    if (!learns_trials(s) || !(marks & LATENT_MARK_TRIAL_START)) return;
    if (s->flags[FLAG_IN_TRIAL]) end_trial(s);
    s->flags[FLAG_IN_TRIAL] = 1;
}

void normalise_end_bin(struct normalise *s, const float *x, const uint32_t *masked, uint32_t marks,
                       bool teaches)
{
    teaches = teaches && !s->flags[FLAG_FROZEN];
    if (s->rules->kind == LATENT_NORMALISE_EWMA && teaches) follow_bin(s, x, masked);
    if (!learns_trials(s) || !s->flags[FLAG_IN_TRIAL]) return;
    if (teaches) add_bin(s, x, masked);
    if (marks & LATENT_MARK_TRIAL_END) end_trial(s);
}

/* ---- by order ---- */

static bool learns(const struct normalise_rules *r)
{
    return r->kind == LATENT_NORMALISE_EWMA || r->kind == LATENT_NORMALISE_WINDOW_TRIALS;
}

int normalise_takes(const struct normalise_rules *r, size_t n_channels, const double *mean,
                    const double *sd, size_t n)
{
    if (!learns(r)) return LATENT_E_UNSUPPORTED;
    if (n != n_channels) return LATENT_E_SHAPE;
    if (!mean || !sd) return LATENT_E_VALUE;
    for (size_t c = 0; c < n; c++)
        if (!isfinite(mean[c]) || !isfinite(sd[c]) || sd[c] < 0.0 || !(sd[c] + r->eps > 0.0))
            return LATENT_E_VALUE;
    return 0;
}

int normalise_act(struct normalise *s, uint32_t act, const double *mean, const double *sd, size_t n)
{
    int status = 0;
    if (!learns(s->rules) || act > LATENT_NORMALISE_LOAD) return LATENT_E_UNSUPPORTED;
    if (act == LATENT_NORMALISE_LOAD)
        status = normalise_takes(s->rules, s->n_channels, mean, sd, n);
    if (status) return status;
    if (act == LATENT_NORMALISE_FREEZE) s->flags[FLAG_FROZEN] = 1;
    if (act == LATENT_NORMALISE_THAW) s->flags[FLAG_FROZEN] = 0;
    if (act == LATENT_NORMALISE_RESET) start_from(s, s->rules->mean, s->rules->sd);
    if (act == LATENT_NORMALISE_LOAD) start_from(s, mean, sd);
    if (act == LATENT_NORMALISE_RESET || act == LATENT_NORMALISE_LOAD) forget_trials(s);
    s->counts[COUNT_VERSION]++;
    return 0;
}

void normalise_tell(const struct normalise *s, struct latent_normalisation *out, double *mean,
                    double *sd)
{
    *out = (struct latent_normalisation){0};
    if (s->rules->kind == LATENT_NORMALISE_NONE) return;
    out->version = (uint32_t)s->counts[COUNT_VERSION];
    out->frozen = s->flags[FLAG_FROZEN];
    out->n_trials = (uint32_t)s->counts[COUNT_TRIALS];
    out->n_bounded = (uint32_t)s->n_bounded;
    if (!mean || !sd) return;
    bool squares = s->rules->kind == LATENT_NORMALISE_EWMA;
    memcpy(mean, s->mean, s->n_channels * sizeof *mean);
    for (size_t c = 0; c < s->n_channels; c++) sd[c] = squares ? sqrt(s->spread[c]) : s->spread[c];
}
