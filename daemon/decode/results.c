/* Writing decoded rows, a slab at a time. */
#include "decode/results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/error.h"
#include "tool/h5out.h"

#define N_GROUPS 3

/* One output group; width 0: the model does not have it. */
struct group {
    const char *name, *units;
    size_t width;
    float *rows; /* [n_slab_bins][width] */
    hid_t dataset;
};

struct results {
    struct results_about about;
    struct h5out out;
    struct latent_error *err;
    struct group groups[N_GROUPS]; /* latents, rates, readout */
    struct results_rows rows;
    hid_t flags;
};

static int buffers_new(struct results *r)
{
    const struct latent_info *info = r->about.info;
    r->groups[0] = (struct group){.name = "latents", .width = info->n_latents};
    r->groups[1] =
        (struct group){.name = "rates", .units = "Hz", .width = info->n_rates};
    r->groups[2] = (struct group){.name = "readout", .width = info->n_readout};
    r->rows.flags = calloc(r->about.n_slab_bins, sizeof(uint32_t));
    int complete = r->rows.flags != NULL;
    for (int i = 0; i < N_GROUPS; i++) {
        struct group *g = &r->groups[i];
        g->dataset = H5I_INVALID_HID;
        if (g->width > 0)
            g->rows = malloc(r->about.n_slab_bins * g->width * sizeof(float));
        complete = complete && (g->rows || g->width == 0);
    }
    r->rows.latents = r->groups[0].rows;
    r->rows.rates = r->groups[1].rows;
    r->rows.readout = r->groups[2].rows;
    return complete ? 0 : tool_error(r->err, LATENT_E_NOMEM, "out of memory");
}

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
        r->out.failed = tool_error(r->err, LATENT_E_NOMEM, "out of memory");
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
    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++)
        names[bit] = latent_flag_name(bit);
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
    h5out_text(&r->out, "/", "input", r->about.input);
    h5out_text(&r->out, "/", "latentd_version", latent_version());
}

static int file_create(struct results *r, const char *path)
{
    int status = h5out_create(&r->out, path, r->err);
    if (status) return status;
    r->flags = dataset_new(r, "flags", H5T_STD_U32LE, 0);
    flags_describe(r);
    for (int i = 0; i < N_GROUPS; i++) {
        struct group *g = &r->groups[i];
        if (g->width == 0) continue;
        g->dataset = dataset_new(r, g->name, H5T_IEEE_F32LE, g->width);
        if (g->units) h5out_text(&r->out, g->name, "units", g->units);
    }
    if (r->about.info->n_latents > 0)
        h5out_text(&r->out, "latents", "units", "of the model");
    if (r->about.info->n_readout > 0) readout_describe(r);
    file_describe(r);
    return r->out.failed ? r->err->status : 0;
}

static void results_free(struct results *r)
{
    for (int i = 0; i < N_GROUPS; i++) free(r->groups[i].rows);
    free(r->rows.flags);
    free(r);
}

int results_create(struct results **out, const char *path,
                   const struct results_about *about, struct latent_error *err)
{
    struct results *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r) return tool_error(err, LATENT_E_NOMEM, "out of memory");
    r->about = *about;
    r->err = err;
    r->flags = r->out.file = H5I_INVALID_HID;
    int status = buffers_new(r);
    if (!status) status = file_create(r, path);
    if (status) {
        results_abort(r);
        return status;
    }
    *out = r;
    return 0;
}

struct results_rows *results_rows(struct results *r)
{
    return &r->rows;
}

static void group_row_set(struct group *g, size_t i, const float *values, size_t n)
{
    float *row = g->rows + i * g->width;
    if (g->width == 0) return;
    for (size_t k = 0; k < g->width; k++) row[k] = n == g->width ? values[k] : NAN;
}

void results_row_set(struct results *r, size_t i, const struct latent_frame *frame)
{
    r->rows.flags[i] = frame->flags;
    group_row_set(&r->groups[0], i, frame->latents, frame->n_latents);
    group_row_set(&r->groups[1], i, frame->rates, frame->n_rates);
    group_row_set(&r->groups[2], i, frame->readout, frame->n_readout);
}

int results_rows_write(struct results *r, size_t trial, size_t first, size_t n)
{
    size_t start[2] = {trial, first}, box[2] = {1, n};
    int n_axes = r->about.shape->has_trials ? 2 : 1, skip = 2 - n_axes;
    h5out_box(&r->out, r->flags, H5T_NATIVE_UINT32, n_axes, start + skip, box + skip,
              r->rows.flags);
    for (int i = 0; i < N_GROUPS; i++)
        if (r->groups[i].width > 0)
            h5out_box(&r->out, r->groups[i].dataset, H5T_NATIVE_FLOAT, n_axes,
                      start + skip, box + skip, r->groups[i].rows);
    return r->out.failed ? r->err->status : 0;
}

static void datasets_close(struct results *r)
{
    h5out_close(&r->out, r->flags);
    for (int i = 0; i < N_GROUPS; i++) h5out_close(&r->out, r->groups[i].dataset);
}

int results_commit(struct results *r)
{
    datasets_close(r);
    int status = h5out_commit(&r->out);
    results_free(r);
    return status;
}

void results_abort(struct results *r)
{
    if (!r) return;
    datasets_close(r);
    h5out_abort(&r->out);
    results_free(r);
}
