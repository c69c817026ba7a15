/* Writing decoded rows, some bins at a time. */
#include "latent-decode/results.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/h5out.h"

enum group { LATENTS, RATES, READOUT, LOGITS, N_GROUPS };

struct results {
    struct results_about about;
    struct h5out out;
    struct latent_error *err;
    size_t width[N_GROUPS]; /* 0: the model does not have it */
    hid_t dataset[N_GROUPS];
    hid_t flags;
};

struct results_rows {
    size_t width[N_GROUPS];
    float *groups[N_GROUPS]; /* [n_bins][width], NULL where the width is 0 */
    uint32_t *flags;         /* [n_bins] */
};

/* ---- rows ---- */

struct results_rows *results_rows_new(const struct results *results, size_t n_bins)
{
    struct results_rows *rows = calloc(1, sizeof *rows);
    if (!rows) return NULL;
    rows->flags = calloc(n_bins, sizeof *rows->flags);
    bool complete = rows->flags != NULL;
    for (int i = 0; i < N_GROUPS; i++) {
        rows->width[i] = results->width[i];
        if (rows->width[i] > 0) rows->groups[i] = malloc(n_bins * rows->width[i] * sizeof(float));
        complete = complete && (rows->groups[i] || rows->width[i] == 0);
    }
    if (complete) return rows;
    results_rows_free(rows);
    return NULL;
}

void results_rows_free(struct results_rows *rows)
{
    if (!rows) return;
    for (int i = 0; i < N_GROUPS; i++) free(rows->groups[i]);
    free(rows->flags);
    free(rows);
}

uint32_t *results_flags(struct results_rows *rows)
{
    return rows->flags;
}

float *results_latents(struct results_rows *rows)
{
    return rows->groups[LATENTS];
}

float *results_rates(struct results_rows *rows)
{
    return rows->groups[RATES];
}

float *results_readout(struct results_rows *rows)
{
    return rows->groups[READOUT];
}

static void group_row_set(struct results_rows *rows, enum group group, size_t i,
                          const float *values, size_t n)
{
    size_t width = rows->width[group];
    if (width == 0) return;
    float *row = rows->groups[group] + i * width;
    for (size_t k = 0; k < width; k++) row[k] = n == width ? values[k] : NAN;
}

void results_row_set(struct results_rows *rows, size_t i, const struct latent_frame *frame)
{
    rows->flags[i] = frame->flags;
    group_row_set(rows, LATENTS, i, frame->latents, frame->n_latents);
    group_row_set(rows, RATES, i, frame->rates, frame->n_rates);
    group_row_set(rows, READOUT, i, frame->readout, frame->n_readout);
    group_row_set(rows, LOGITS, i, frame->logits, frame->n_logits);
}

/* ---- the file ---- */

/* The input's leading shape, then the width of the group (0: none). */
static hid_t dataset_new(struct results *r, const char *name, hid_t type, size_t width)
{
    const struct reader_shape *s = r->about.shape;
    size_t shape[3];
    int rank = 0;
    if (s->has_trials) shape[rank++] = s->n_trials;
    shape[rank++] = s->n_bins;
    if (width > 0) shape[rank++] = width;
    hid_t dataset = h5out_dataset(&r->out, name, type, rank, shape);
    h5out_number(&r->out, name, "bin_width_ms", s->bin_width_us / 1000.0);
    return dataset;
}

static void readout_describe(struct results *r)
{
    const struct latent_info *info = r->about.info;
    const char **texts = calloc(info->n_readout + 1, sizeof *texts);
    if (!texts) {
        r->out.failed = error_text(r->err, LATENT_E_NOMEM, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < info->n_readout; i++) texts[i] = info->readout[i].name;
    h5out_texts(&r->out, "readout", "names", info->n_readout, texts);
    for (uint32_t i = 0; i < info->n_readout; i++) texts[i] = info->readout[i].unit;
    h5out_texts(&r->out, "readout", "units", info->n_readout, texts);
    free(texts);
}

static void flags_describe(struct results *r)
{
    const char *names[LATENT_N_FLAGS];
    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++) names[bit] = latent_flag_name(bit);
    h5out_texts(&r->out, "flags", "bits", LATENT_N_FLAGS, names);
}

static void file_describe(struct results *r)
{
    const struct latent_info *info = r->about.info;
    char hex[2 * sizeof info->sha256 + 1];
    for (size_t i = 0; i < sizeof info->sha256; i++)
        snprintf(hex + 2 * i, 3, "%02x", info->sha256[i]);
    h5out_number(&r->out, "/", "bin_width_ms", r->about.shape->bin_width_us / 1000.0);
    h5out_text(&r->out, "/", "model_sha256", hex);
    h5out_text(&r->out, "/", "arch", info->arch);
    h5out_text(&r->out, "/", "mode", r->about.mode);
    if (r->about.session) h5out_text(&r->out, "/", "session", r->about.session);
    h5out_text(&r->out, "/", "input", r->about.input);
    h5out_number(&r->out, "/", "delay_bins", info->delay_bins);
    h5out_text(&r->out, "/", "latentd_version", latent_version());
}

static const struct {
    const char *name, *units; /* units NULL: its columns have names and units */
} group_texts[N_GROUPS] = {
    [LATENTS] = {"latents", "of the model"},
    [RATES] = {"rates", "Hz"},
    [READOUT] = {"readout", NULL},
    [LOGITS] = {"logits", "of the model"},
};

static int file_create(struct results *r, const char *path)
{
    int status = h5out_create(&r->out, path, r->err);
    if (status) return status;
    r->flags = dataset_new(r, "flags", H5T_STD_U32LE, 0);
    flags_describe(r);
    for (int i = 0; i < N_GROUPS; i++) {
        const char *name = group_texts[i].name, *units = group_texts[i].units;
        if (r->width[i] == 0) continue;
        r->dataset[i] = dataset_new(r, name, H5T_IEEE_F32LE, r->width[i]);
        if (units) h5out_text(&r->out, name, "units", units);
    }
    if (r->width[READOUT] > 0) readout_describe(r);
    if (r->width[LOGITS] > 0)
        h5out_texts(&r->out, "logits", "labels", r->about.info->n_logits,
                    (const char **)r->about.info->logit_labels);
    file_describe(r);
    return r->out.failed ? r->err->status : 0;
}

int results_create(struct results **out, const char *path, const struct results_about *about,
                   struct latent_error *err)
{
    const struct latent_info *info = about->info;
    struct results *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r) return error_text(err, LATENT_E_NOMEM, "out of memory");
    *r = (struct results){
        .about = *about,
        .err = err,
        .out.file = H5I_INVALID_HID,
        .flags = H5I_INVALID_HID,
        .width = {info->n_latents, info->n_rates, info->n_readout, info->n_logits},
        .dataset = {H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID},
    };
    int status = file_create(r, path);
    if (status) {
        results_abort(r);
        return status;
    }
    *out = r;
    return 0;
}

int results_rows_write(struct results *r, const struct results_rows *rows, size_t trial,
                       size_t first, size_t n, struct latent_error *err)
{
    size_t start[2] = {trial, first}, box[2] = {1, n};
    int n_axes = r->about.shape->has_trials ? 2 : 1, skip = 2 - n_axes;
    h5out_box(&r->out, r->flags, H5T_NATIVE_UINT32, n_axes, start + skip, box + skip, rows->flags);
    for (int i = 0; i < N_GROUPS; i++)
        if (r->width[i] > 0)
            h5out_box(&r->out, r->dataset[i], H5T_NATIVE_FLOAT, n_axes, start + skip, box + skip,
                      rows->groups[i]);
    if (!r->out.failed) return 0;
    *err = *r->err;
    return err->status;
}

static void datasets_close(struct results *r)
{
    h5out_close(&r->out, r->flags);
    for (int i = 0; i < N_GROUPS; i++) h5out_close(&r->out, r->dataset[i]);
}

int results_commit(struct results *r)
{
    datasets_close(r);
    int status = h5out_commit(&r->out);
    free(r);
    return status;
}

void results_abort(struct results *r)
{
    if (!r) return;
    datasets_close(r);
    h5out_abort(&r->out);
    free(r);
}
