/* HDF5 input with texts that say what is there instead. What the file says about its values is
 * applied (scale, fill value, axes as asked) or refused, never ignored. */
#ifndef DATA_H5IN_H
#define DATA_H5IN_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

#include "latent.h"

#define H5IN_MAX_RANK 3
#define H5IN_NAME 512

/* How the axes of arrays lie in the file. MATLAB's lie in reverse order, if the array was not
 * turned before it was saved: nobody can tell but the user. */
enum h5in_axes {
    H5IN_AXES_ASK,      /* as stored; of MATLAB's files: refused */
    H5IN_AXES_STORED,   /* as stored, whoever wrote it */
    H5IN_AXES_REVERSED, /* in reverse order */
};

/* One numeric dataset, open. */
struct h5in {
    char name[H5IN_NAME]; /* FILE.h5:/path as given, for the texts */
    hid_t file, dataset;
    int rank;
    size_t shape[H5IN_MAX_RANK];
    int stored_rank, axis[H5IN_MAX_RANK]; /* where in the file our axes lie */
    double scale, shift;                  /* value = stored * scale + shift */
    double fill;                          /* what stands for no value, read as NaN */
    bool has_fill;
};

/* Opens FILE.h5:/path: a non-empty dataset of numbers (or booleans), all of it there, with lowest
 * <= rank <= highest. Where highest is 1, axes of one element are left out: [n, 1] is [n]. */
int h5in_open(struct h5in *in, const char *place, enum h5in_axes axes, int lowest_rank,
              int highest_rank, struct latent_error *err);
void h5in_close(struct h5in *in); /* also of a zeroed or failed one */

/* Read a box of n[] elements from start[] on, in C order. */
int h5in_read_floats(const struct h5in *in, const size_t *start, const size_t *n, float *out,
                     struct latent_error *err);
int h5in_read_doubles(const struct h5in *in, const size_t *start, const size_t *n, double *out,
                      struct latent_error *err);
/* The whole; the caller frees *out. */
int h5in_read_all(const struct h5in *in, double **out, struct latent_error *err);

/* "FILE:/path" of a dataset named without a file, which is looked for in the file of `home`.
 * Others are copied. */
void h5in_place(char out[H5IN_NAME], const char *place, const char *home);
/* Is there a group or a dataset of this name? */
bool h5in_is_group(const char *place);
bool h5in_is_dataset(const char *place);

#endif
