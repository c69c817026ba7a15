/* The model file's latent.config outside "hyper": what the file says about itself. */
#ifndef LATENT_MODEL_CONFIG_H
#define LATENT_MODEL_CONFIG_H

#include <jansson.h>

#include "base/arena.h"
#include "decode/normalise.h"
#include "latent.h"
#include "models/model.h"

struct model_config {
    json_t *root;                /* owns the strings of struct latent_info */
    json_t *hyper;               /* borrowed from root */
    json_t *stage;               /* the same; NULL: the file has none */
    const struct model_ops *ops; /* of "arch" */
    struct arena arrays;         /* the arrays of struct latent_info, and of normalise */
    struct normalise_rules normalise;
    const float *zeros; /* [C], the mean of normalised input; NULL where it is not */
};

/* Check the text key by key and fill the part of *info that it tells: arch, licence,
 * source, sizes, modes, precisions, readout, channels. On error *mc holds what
 * model_config_free must still release. */
int model_config_read(struct model_config *mc, const char *text, struct latent_info *info,
                      struct latent_error *err);
void model_config_free(struct model_config *mc);

#endif
