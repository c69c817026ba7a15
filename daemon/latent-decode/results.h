/* The output file of latent-decode: one dataset per group, rows as the input has them. */
#ifndef DECODE_RESULTS_H
#define DECODE_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#include "data/recording.h"
#include "latent.h"

struct results_about {
    const struct latent_info *info;
    const struct reader_shape *shape;
    const char *mode, *session, *input; /* session: NULL: the model has none */
};

struct results;

int results_create(struct results **out, const char *path, const struct results_about *about,
                   struct latent_error *err);

/* Room for n_bins rows of each group; NULL: out of memory. Each thread has its own. */
struct results_rows;
struct results_rows *results_rows_new(const struct results *results, size_t n_bins);
void results_rows_free(struct results_rows *rows); /* NULL is allowed */
/* Puts frame i into the rows; an absent group becomes NaN. */
void results_row_set(struct results_rows *rows, size_t i, const struct latent_frame *frame);
/* The groups of all rows, [n_bins][width] each; NULL: the model does not have it. */
uint32_t *results_flags(struct results_rows *rows); /* [n_bins] */
float *results_latents(struct results_rows *rows);
float *results_rates(struct results_rows *rows);
float *results_readout(struct results_rows *rows);
/* Writes the first n rows as bins first .. first + n - 1 of a trial. One thread at a time. */
int results_rows_write(struct results *results, const struct results_rows *rows, size_t trial,
                       size_t first, size_t n, struct latent_error *err);

/* Puts the file at its path. Both free the results. */
int results_commit(struct results *results);
void results_abort(struct results *results); /* NULL is allowed */

#endif
