/* The known answer of a model file: every listed mode must give what the reference computed. */
#ifndef LATENT_SELFTEST_H
#define LATENT_SELFTEST_H

#include "base/safetensors.h"
#include "decode/model.h"

#define SELFTEST_PREFIX "selftest."
#define SELFTEST_MAX_BINS 10000u

/* Run each listed mode over selftest.input and compare with
 * selftest.<mode>.{latents,lograte,readout}. What is compared is the architecture's own
 * output, before neutral values and limits. */
int selftest_run(const struct latent_model *m, const struct safetensors *file,
                 struct latent_error *err);

#endif
