/* NumPy's .npz files, written whole or not at all (whole_file): a zip archive of stored .npy
 * arrays, with 64-bit sizes, that numpy.load(allow_pickle=False) reads.
 *
 * The first failure is kept and all later calls do nothing, so that a writer may check once, at
 * npzout_commit. Files hold no times: same input, same bytes. */
#ifndef DATA_NPZOUT_H
#define DATA_NPZOUT_H

#include <stddef.h>

#include "latent.h"

struct npzout;

/* Types of elements. */
enum npz_type { NPZ_BOOL, NPZ_INT64, NPZ_FLOAT32, NPZ_FLOAT64 };

/* err must outlive it. NULL: see err. */
struct npzout *npzout_create(const char *path, struct latent_error *err);

/* An array "NAME.npy" of rank 0 to 3, in C order: begin, as many elements as its shape says in any
 * number of pieces, end. bool: one byte, 0 or 1. */
void npzout_begin(struct npzout *out, const char *name, enum npz_type type, int rank,
                  const size_t *shape);
void npzout_write(struct npzout *out, const void *data, size_t n_bytes);
void npzout_end(struct npzout *out);
/* The three in one. */
void npzout_array(struct npzout *out, const char *name, enum npz_type type, int rank,
                  const size_t *shape, const void *data);
/* UTF-8 texts as an array of texts [n]; n 0: a single one, of shape (). */
void npzout_texts(struct npzout *out, const char *name, size_t n, const char *const *texts);

/* Ends the file: 0 and it stands at its path, or the first failure and nothing does. Both free
 * it. */
int npzout_commit(struct npzout *out);
void npzout_abort(struct npzout *out); /* NULL is allowed */

#endif
