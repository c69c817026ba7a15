/* What a caller asks of a model, against what its file offers. */
#ifndef LATENT_DECODE_OPTIONS_H
#define LATENT_DECODE_OPTIONS_H

#include "decode/model.h"

/* Index of the mode in the architecture's list, or a negative status: it does not offer them. */
int options_check(const latent_model *m, const struct latent_options *o, struct latent_error *err);
/* All groups that the model has. */
uint32_t model_groups(const latent_model *m);

#endif
