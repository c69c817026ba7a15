/* HDF5 files written whole or not at all (whole_file).
 *
 * The first failure is kept and all later calls do nothing, so that a writer may check once, at
 * h5out_commit. Files hold no times: same input, same bytes. */
#ifndef DATA_H5OUT_H
#define DATA_H5OUT_H

#include <hdf5.h>
#include <stddef.h>

#include "data/whole_file.h"
#include "latent.h"

struct h5out {
    hid_t file;
    struct whole_file to;
    int failed;
    struct latent_error *err; /* of h5out_create's caller */
};

int h5out_create(struct h5out *out, const char *path, struct latent_error *err);

/* A dataset of rank 1 to 3; close it with h5out_close. stored: its type in the file. */
hid_t h5out_dataset(struct h5out *out, const char *name, hid_t stored, int rank,
                    const size_t *shape);
/* Writes the box of n[i] from start[i] on of the first n_axes axes, all of the others; data in
 * memory is of type `type`. */
void h5out_box(struct h5out *out, hid_t dataset, hid_t type, int n_axes, const size_t *start,
               const size_t *n, const void *data);
/* A box of one axis. */
void h5out_rows(struct h5out *out, hid_t dataset, hid_t type, size_t first, size_t n,
                const void *data);
void h5out_close(struct h5out *out, hid_t dataset);
/* Dataset, rows and close in one. */
void h5out_array(struct h5out *out, const char *name, hid_t type, int rank, const size_t *shape,
                 const void *data);

void h5out_group(struct h5out *out, const char *name);
/* Attributes of the object at `path` ("/": the file). */
void h5out_number(struct h5out *out, const char *path, const char *name, double value);
void h5out_numbers(struct h5out *out, const char *path, const char *name, size_t n,
                   const double *values);
void h5out_text(struct h5out *out, const char *path, const char *name, const char *text);
void h5out_texts(struct h5out *out, const char *path, const char *name, size_t n,
                 const char *const *texts);

/* Ends the file: 0 and it stands at its path, or the first failure and nothing does. */
int h5out_commit(struct h5out *out);
void h5out_abort(struct h5out *out);

#endif
