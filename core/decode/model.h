/* A model: a file's weights bound to its architecture. decode/model_file opens one. */
#ifndef LATENT_DECODE_MODEL_H
#define LATENT_DECODE_MODEL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/precision.h"
#include "decode/model_config.h"
#include "decode/readout_stage.h"
#include "latent.h"
#include "models/model.h"

/* Read-only once open; shared by its decoders. */
struct latent_model {
    const struct model_ops *ops;
    struct model_dims dims; /* the stage's readout included */
    struct readout_stage stage;
    struct latent_info info;
    /* Of each listed precision: what ops->load returned, and where that lies with the packed
     * weights, and nothing else. */
    const void *bound[N_PRECISIONS];
    struct arena memory[N_PRECISIONS];
    struct model_config config; /* owns the strings and arrays of info and dims */
    char *path, *config_text;
};

/* Weights, state and scratch of one model may not exceed this: hyper-parameters come from
 * outside. */
#define MODEL_MAX_BYTES (4ull << 30)

/* Index into m->ops->modes of a mode the file lists; NULL: its first. -1: the file does not list
 * it. */
int model_mode(const latent_model *m, const char *name);
/* Number of a session of the file; NULL: of its only one, or 0 where there are none. -1: it has no
 * such one, or several, one of which is to be named. */
int model_session(const latent_model *m, const char *name);
/* Does the file list this precision? NULL: its first, always true. */
bool model_has_precision(const latent_model *m, const char *name);
/* The weights in a listed precision; NULL: its first. */
const void *model_bound(const latent_model *m, const char *precision);
/* Where they lie. */
const struct arena *model_memory(const latent_model *m, const char *precision);

#endif
