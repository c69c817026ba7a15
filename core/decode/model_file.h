/* Opening a model file: verified, bound to its architecture, its known answers reproduced. */
#ifndef LATENT_MODEL_FILE_H
#define LATENT_MODEL_FILE_H

#include "decode/model.h"

/* latent_model_open over bytes in memory (tests, fuzzing); info.path is "(memory)". */
int model_open_bytes(latent_model **out, const void *bytes, size_t n, struct latent_error *err);

#endif
