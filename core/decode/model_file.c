/* Opening a model file: bytes, config, weights, known answer; then the bytes go. */
#include "decode/model_file.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/safetensors.h"
#include "decode/selftest.h"

#define PATH_TEXT 160 /* bytes of a path in front of an error */

/* What the file must provide before load: sizes known without tensors. */
static struct model_dims dims_from_info(const struct latent_info *info, const float *zeros)
{
    bool normalised = info->normalise != LATENT_NORMALISE_NONE;
    return (struct model_dims){
        .n_channels = info->n_channels,
        .bin_s = (double)info->bin_width_us * 1e-6,
        .channel_mean = normalised ? zeros : info->channel_mean,
        .is_normalised = normalised,
    };
}

/* The readout stage, where the file has one; returns its configuration's status. */
static int stage_bind(struct latent_model *m, struct weights *w, struct latent_error *err)
{
    struct fields c;
    if (!m->config.stage) return 0;
    fields_init(&c, m->config.stage, "latent.config.stage", err);
    readout_stage_load(&m->stage, w, &c, m->info.n_readout, &m->dims);
    return fields_finish(&c);
}

/* Where a load puts its weights: those that stay, and raw matrices until it is over. */
struct room {
    enum precision precision;
    struct arena *memory;
    struct arena raw;
};

/* One run of the loads over arenas, counting or real. A wrong
 * hyper-parameter makes tensors look wrong too, so its text is the one to report. */
static int weights_load_once(struct latent_model *m, const struct safetensors *file, bool *taken,
                             struct room *room, struct latent_error *err)
{
    struct latent_error hyper_error = {0}, weights_error = {0};
    struct weights w = {.file = file,
                        .arena = room->memory,
                        .raw = &room->raw,
                        .precision = room->precision,
                        .taken = taken,
                        .err = &weights_error};
    const void **bound = &m->bound[room->precision];
    struct fields hyper;
    memset(taken, 0, file->n_tensors * sizeof *taken);
    fields_init(&hyper, m->config.hyper, "latent.config.hyper", &hyper_error);
    m->dims = dims_from_info(&m->info, m->config.zeros);
    *bound = m->ops->load(&w, &hyper, &m->dims);
    if (!hyper.status && !w.status) fields_finish(&hyper);
    if (hyper.status) return error_set(err, hyper.status, "%s", hyper_error.text);
    int status = stage_bind(m, &w, err);
    if (status) return status;
    if (weights_finish(&w)) return error_set(err, w.status, "%s", weights_error.text);
    assert(!room->memory->base || *bound);
    return 0;
}

/* Arenas of the sizes that a counting run gave. */
static int room_new(struct room *room, size_t n_memory, size_t n_raw, struct latent_error *err)
{
    if (n_memory <= MODEL_MAX_BYTES && n_raw <= MODEL_MAX_BYTES &&
        !arena_new(room->memory, n_memory) && !arena_new(&room->raw, n_raw))
        return 0;
    return error_set(err, LATENT_E_NOMEM,
                     "weights: no memory for %zu bytes and %zu while they are packed "
                     "(at most %llu)",
                     n_memory, n_raw, MODEL_MAX_BYTES);
}

/* Load twice: to learn the size, then into memory of that size. */
static int weights_load_precision(struct latent_model *m, const struct safetensors *file,
                                  bool *taken, enum precision precision, struct latent_error *err)
{
    struct arena counting = {0};
    struct room count = {.precision = precision, .memory = &counting};
    struct room real = {.precision = precision, .memory = &m->memory[precision]};
    int status = weights_load_once(m, file, taken, &count, err);
    if (!status) status = room_new(&real, counting.used, count.raw.used, err);
    if (!status) status = weights_load_once(m, file, taken, &real, err);
    arena_free(&real.raw);
    return status;
}

/* The weights in every precision that the file lists. */
static int weights_load(struct latent_model *m, const struct safetensors *file,
                        struct latent_error *err)
{
    bool *taken = calloc(file->n_tensors + 1, sizeof *taken);
    if (!taken) return error_set(err, LATENT_E_NOMEM, "out of memory");
    int status = 0;
    for (uint32_t i = 0; !status && i < m->info.n_precisions; i++)
        status = weights_load_precision(m, file, taken,
                                        (enum precision)precision_find(m->info.precisions[i]), err);
    free(taken);
    return status;
}

/* The sizes that the file claims must be those that its weights give. */
static int outputs_check(const struct latent_model *m, struct latent_error *err)
{
    const struct {
        const char *key;
        size_t given, claimed;
    } groups[] = {
        {"latents", m->dims.n_latents, m->info.n_latents},
        {"rates", m->dims.n_rates, m->info.n_rates},
        {"readout", m->dims.n_readout, m->info.n_readout},
        {"logits", m->dims.n_logits, m->info.n_logits},
    };
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (groups[i].given != groups[i].claimed)
            return error_set(err, LATENT_E_CONFIG,
                             "latent.config.outputs: \"%s\" expected %zu, as the weights give, "
                             "found %zu",
                             groups[i].key, groups[i].given, groups[i].claimed);
    return 0;
}

/* A mode the build knows may still be one that this file's hyper-parameters rule out. */
static int modes_check(const struct latent_model *m, struct latent_error *err)
{
    for (uint32_t i = 0; i < m->info.n_modes && m->ops->mode_check; i++) {
        const char *name = m->info.modes[i].name;
        const char *reason = m->ops->mode_check(model_bound(m, NULL), model_mode(m, name));
        if (reason)
            return error_set(err, LATENT_E_UNSUPPORTED,
                             "latent.config: \"modes\" expected modes this model can run in, "
                             "found \"%s\": %s",
                             name, reason);
    }
    return 0;
}

/* Some models reckon with counts: a normalised value would be a wrong one. */
static int normalise_check(const struct latent_model *m, struct latent_error *err)
{
    const char *reason = NULL;
    if (m->info.normalise == LATENT_NORMALISE_NONE) return 0;
    if (m->ops->counts_check) reason = m->ops->counts_check(model_bound(m, NULL));
    if (!reason) return 0;
    return error_set(err, LATENT_E_UNSUPPORTED,
                     "latent.config.normalise: this %s model takes counts, not normalised values: "
                     "%s",
                     m->info.arch, reason);
}

/* What info tells of the tensors; the known answer is not counted as weights. */
static void weights_count(struct latent_info *info, const struct safetensors *file)
{
    for (size_t i = 0; i < file->n_tensors; i++) {
        const struct tensor *t = &file->tensors[i];
        if (strncmp(t->name, SELFTEST_PREFIX, strlen(SELFTEST_PREFIX)) == 0) continue;
        info->n_tensors++;
        info->weight_bytes += t->n_bytes;
    }
}

static int model_bind(struct latent_model *m, struct safetensors *file, struct latent_error *err)
{
    int status = model_config_read(&m->config, file->config, &m->info, err);
    if (status) return status;
    m->ops = m->config.ops;
    assert(m->ops && m->info.n_modes);
    status = weights_load(m, file, err);
    if (!status) status = outputs_check(m, err);
    if (!status) status = modes_check(m, err);
    if (!status) status = normalise_check(m, err);
    if (!status) status = selftest_run(m, file, err);
    if (status) return status;
    m->info.trial_bins = (uint32_t)m->dims.trial_bins;
    m->info.delay_bins = (uint32_t)m->dims.delay_bins;
    m->info.every_bins = m->dims.every_bins ? (uint32_t)m->dims.every_bins : 1;
    m->info.first_bin = (uint32_t)m->dims.first_bin;
    m->info.n_sessions = (uint32_t)m->dims.n_sessions;
    m->info.sessions = m->dims.sessions;
    weights_count(&m->info, file);
    memcpy(m->info.sha256, file->sha256, sizeof m->info.sha256);
    m->info.config = m->config_text = file->config;
    file->config = NULL;
    return 0;
}

/* Bind and verify an open file, then give its bytes back whatever came of it. */
static int model_new(latent_model **out, struct safetensors *file, const char *path,
                     struct latent_error *err)
{
    struct latent_model *m = calloc(1, sizeof *m);
    if (m) m->info.path = m->path = strdup(path);
    int status = LATENT_E_NOMEM;
    if (m && m->path)
        status = model_bind(m, file, err);
    else
        error_set(err, status, "out of memory");
    safetensors_close(file);
    if (status)
        latent_model_close(m);
    else
        *out = m;
    return status;
}

/* Put the file's name in front of a text; of a long path the end tells more. */
static void error_add_path(struct latent_error *err, const char *path)
{
    struct latent_error why = *err;
    size_t n = strlen(path), skip = n > PATH_TEXT ? n - PATH_TEXT : 0;
    while (skip && ((unsigned char)path[skip] & 0xc0) == 0x80) skip++;
    error_set(err, why.status, "%s%s: %s", skip ? "..." : "", path + skip, why.text);
}

int latent_model_open(latent_model **out, const char *path, struct latent_error *err)
{
    assert(out && path);
    *out = NULL;
    struct latent_error local;
    if (!err) err = &local;
    struct safetensors file;
    int status = safetensors_open(&file, path, err);
    if (!status) status = model_new(out, &file, path, err);
    if (status) error_add_path(err, path);
    return status;
}

int model_open_bytes(latent_model **out, const void *bytes, size_t n, struct latent_error *err)
{
    *out = NULL;
    struct safetensors file;
    int status = safetensors_parse(&file, bytes, n, err);
    return status ? status : model_new(out, &file, "(memory)", err);
}
