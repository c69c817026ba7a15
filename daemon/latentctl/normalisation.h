/* Mean and sd of a stream's input, kept in a file from one session to the next. */
#ifndef LATENTCTL_NORMALISATION_H
#define LATENTCTL_NORMALISATION_H

#include "latent.h"
#include "latent.pb-c.h"

/* Into a file that does not exist yet. 0, or negative and a text; the file then does not exist. */
int normalisation_write(const char *path, const char *stream, const Latent__V1__Normalisation *m,
                        struct latent_error *err);
/* m: mean, sd and bin width, its arrays the caller's to free; latentd judges them. 0, or negative
 * and a text; m then has none. */
int normalisation_read(const char *path, Latent__V1__Normalisation *m, struct latent_error *err);

#endif
