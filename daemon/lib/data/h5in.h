/* HDF5 input with texts that say what is there instead. */
#ifndef DATA_H5IN_H
#define DATA_H5IN_H

#include <hdf5.h>
#include <stddef.h>

#include "latent.h"

#define H5IN_MAX_RANK 3

/* One numeric dataset, open. */
struct h5in {
    char name[512]; /* FILE.h5:/path as given, for the texts */
    hid_t file, dataset;
    int rank;
    size_t shape[H5IN_MAX_RANK];
};

/* Opens FILE.h5:/path: a non-empty dataset of numbers with lowest <= rank <= highest. */
int h5in_open(struct h5in *in, const char *file_and_path, int lowest_rank, int highest_rank,
              struct latent_error *err);
void h5in_close(struct h5in *in); /* also of a zeroed or failed one */

/* Reads a box of n[] elements from start[] on. */
int h5in_read(const struct h5in *in, const size_t *start, const size_t *n, hid_t type, void *out,
              struct latent_error *err);
/* The whole of a rank 1 dataset; the caller frees *out. */
int h5in_read_all(const struct h5in *in, double **out, struct latent_error *err);

/* A number from an attribute of the dataset or, failing that, of the file; also written
 * as text. 0 when neither has it. */
double h5in_attribute(const struct h5in *in, const char *name);

#endif
