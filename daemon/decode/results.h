/* The output file of latent-decode: one dataset per group, rows as the input has them.
 */
#ifndef DECODE_RESULTS_H
#define DECODE_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#include "latent.h"
#include "reader/reader.h"

struct results_about {
    const struct latent_info *info;
    const struct reader_shape *shape;
    const char *mode, *input;
    size_t n_slab_bins; /* rows that are written at once */
};

struct results;

int results_create(struct results **out, const char *path,
                   const struct results_about *about, struct latent_error *err);

/* Room for one slab: flags [n_slab_bins], groups [n_slab_bins][width] (NULL: absent).
 */
struct results_rows {
    uint32_t *flags;
    float *latents, *rates, *readout;
};
struct results_rows *results_rows(struct results *results);
/* Puts frame i into the rows; an absent group becomes NaN. */
void results_row_set(struct results *results, size_t i,
                     const struct latent_frame *frame);
/* Writes the first n rows as bins first .. first + n - 1 of a trial. */
int results_rows_write(struct results *results, size_t trial, size_t first, size_t n);

/* Puts the file at its path. Both free the results. */
int results_commit(struct results *results);
void results_abort(struct results *results); /* NULL is allowed */

#endif
