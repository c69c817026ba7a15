/* A split of the trials, and true rates. */
#include "latent-decode/extras.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

static const char *const parts[] = {"train", "valid", "test"};

/* Whole numbers from 0 to below `end`. */
static int whole_read(struct extras *e, int which, const char *place, double end,
                      struct latent_error *err)
{
    struct h5in in;
    double *values = NULL;
    int status = h5in_open(&in, place, H5IN_AXES_ASK, 1, 1, err);
    if (status) return status;
    status = h5in_read_all(&in, &values, err);
    e->n[which] = in.shape[0];
    e->whole[which] = calloc(e->n[which], sizeof *e->whole[which]);
    if (!status && !e->whole[which]) error_text(err, status = LATENT_E_NOMEM, "out of memory");
    for (size_t i = 0; !status && i < e->n[which]; i++) {
        double x = values[i];
        if (x >= 0.0 && x < end && x == floor(x))
            e->whole[which][i] = (int64_t)x;
        else
            status = error_text(err, LATENT_E_VALUE,
                                "input %s: value %zu: expected a whole number from 0 to below %g, "
                                "found %g",
                                place, i, end, x);
    }
    free(values);
    h5in_close(&in);
    return status;
}

/* A trial in two parts would be scored by what was fitted to it. */
static int split_check(const struct extras *e, const char *place, size_t n_trials,
                       struct latent_error *err)
{
    unsigned char *part_of = calloc(n_trials, 1);
    int status = 0;
    if (!part_of) return error_text(err, LATENT_E_NOMEM, "out of memory");
    for (int part = EXTRA_TRAIN; !status && part <= EXTRA_TEST; part++)
        for (size_t i = 0; !status && i < e->n[part]; i++) {
            size_t trial = (size_t)e->whole[part][i];
            if (part_of[trial])
                status = error_text(err, LATENT_E_VALUE,
                                    "input %s: trial %zu is in %s and again in %s: expected each "
                                    "once",
                                    place, trial, parts[part_of[trial] - 1], parts[part]);
            part_of[trial] = (unsigned char)(part + 1);
        }
    free(part_of);
    return status;
}

static int split_read(struct extras *e, const char *place, const struct reader_shape *shape,
                      struct latent_error *err)
{
    char dataset[H5IN_NAME];
    int status = 0;
    if (!shape->has_trials)
        return error_text(err, LATENT_E_CONFIG,
                          "--split names trials, and the recording has none: expected [trials, "
                          "time, channels]");
    for (int part = EXTRA_TRAIN; !status && part <= EXTRA_TEST; part++) {
        snprintf(dataset, sizeof dataset, "%.480s/%s", place, parts[part]);
        status = whole_read(e, part, dataset, (double)shape->n_trials, err);
    }
    return status ? status : split_check(e, place, shape->n_trials, err);
}

static int rates_read(struct extras *e, const char *place, enum h5in_axes axes,
                      struct latent_error *err)
{
    struct h5in in;
    size_t n = 1;
    int status = h5in_open(&in, place, axes, 2, 3, err);
    if (status) return status;
    e->rates_rank = in.rank;
    for (int i = 0; i < in.rank; i++) n *= e->rates_shape[i] = in.shape[i];
    status = h5in_read_all(&in, &e->rates, err);
    for (size_t i = 0; !status && i < n; i++)
        if (!isfinite(e->rates[i]) || e->rates[i] < 0.0)
            status = error_text(err, LATENT_E_VALUE,
                                "input %s: value %zu: expected a rate, 0 or more, found %g", place,
                                i, e->rates[i]);
    h5in_close(&in);
    return status;
}

static int conditions_read(struct extras *e, const char *place, const struct reader_shape *shape,
                           struct latent_error *err)
{
    int status = whole_read(e, EXTRA_CONDITIONS, place, (double)e->rates_shape[0], err);
    if (status || e->n[EXTRA_CONDITIONS] == shape->n_trials) return status;
    return error_text(err, LATENT_E_SHAPE,
                      "input %s: %zu conditions, the recording has %zu trials: expected one for "
                      "each",
                      place, e->n[EXTRA_CONDITIONS], shape->n_trials);
}

int extras_read(struct extras *e, const struct bins_options *o, const struct reader_shape *shape,
                struct latent_error *err)
{
    const char *home = o->input.in ? o->input.in : o->input.ticks;
    char place[H5IN_NAME];
    int status = 0;
    if (o->conditions && !o->rates)
        return error_text(err, LATENT_E_CONFIG, "--conditions belongs to --rates");
    if (o->split) {
        h5in_place(place, o->split, home);
        status = split_read(e, place, shape, err);
    }
    if (!status && o->rates) {
        h5in_place(place, o->rates, home);
        status = rates_read(e, place, reader_axes(&o->input), err);
    }
    if (!status && o->conditions) {
        h5in_place(place, o->conditions, home);
        status = conditions_read(e, place, shape, err);
    }
    return status;
}

void extras_put(const struct extras *e, struct npzout *out)
{
    static const char *const names[N_EXTRAS] = {"split_train", "split_valid", "split_test",
                                                "conditions"};
    for (int i = 0; i < N_EXTRAS; i++)
        if (e->whole[i]) npzout_array(out, names[i], NPZ_INT64, 1, &e->n[i], e->whole[i]);
    if (e->rates) npzout_array(out, "rates", NPZ_FLOAT64, e->rates_rank, e->rates_shape, e->rates);
}

void extras_free(struct extras *e)
{
    for (int i = 0; i < N_EXTRAS; i++) free(e->whole[i]);
    free(e->rates);
    *e = (struct extras){0};
}
