/* HDF5 input: reading boxes, axes put in order, what the file says applied. */
#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/h5in.h"

/* A box in the file's own order. */
struct box {
    int rank;
    hsize_t start[H5IN_MAX_RANK], n[H5IN_MAX_RANK];
    size_t n_values;
};

static struct box box_of(const struct h5in *in, const size_t *start, const size_t *n)
{
    struct box box = {.rank = in->stored_rank, .n_values = 1};
    for (int i = 0; i < box.rank; i++) box.n[i] = 1;
    for (int i = 0; i < in->rank; i++) {
        box.start[in->axis[i]] = start[i];
        box.n[in->axis[i]] = n[i];
        box.n_values *= n[i];
    }
    return box;
}

static int box_read(const struct h5in *in, const struct box *box, hid_t type, void *out,
                    struct latent_error *err)
{
    hid_t source = H5Dget_space(in->dataset);
    hid_t target = H5Screate_simple(box->rank, box->n, NULL);
    H5Sselect_hyperslab(source, H5S_SELECT_SET, box->start, NULL, box->n, NULL);
    herr_t failed = H5Dread(in->dataset, type, target, source, H5P_DEFAULT, out);
    H5Sclose(target);
    H5Sclose(source);
    if (failed >= 0) return 0;
    return error_text(err, LATENT_E_IO, "input %s: cannot be read: damaged", in->name);
}

/* Is our order of axes another than the file's? */
static bool is_turned(const struct h5in *in)
{
    for (int i = 1; i < in->rank; i++)
        if (in->axis[i] < in->axis[i - 1]) return true;
    return false;
}

/* Elements of `size` bytes from the file's order of axes into the reverse one. */
static void box_turn(const struct box *box, size_t size, const char *from, char *to)
{
    size_t n[H5IN_MAX_RANK] = {1, 1, 1}, k = 0;
    for (int i = 0; i < box->rank; i++) n[H5IN_MAX_RANK - box->rank + i] = box->n[i];
    for (size_t a = 0; a < n[0]; a++)
        for (size_t b = 0; b < n[1]; b++)
            for (size_t c = 0; c < n[2]; c++, k++)
                memcpy(to + ((c * n[1] + b) * n[0] + a) * size, from + k * size, size);
}

static int ordered_read(const struct h5in *in, const struct box *box, hid_t type, size_t size,
                        void *out, struct latent_error *err)
{
    if (!is_turned(in)) return box_read(in, box, type, out, err);
    char *stored = malloc(box->n_values * size);
    if (!stored) return error_text(err, LATENT_E_NOMEM, "input %s: out of memory", in->name);
    int status = box_read(in, box, type, stored, err);
    if (!status) box_turn(box, size, stored, out);
    free(stored);
    return status;
}

static bool has_meaning(const struct h5in *in)
{
    return in->scale != 1.0 || in->shift != 0.0 || in->has_fill;
}

int h5in_read_doubles(const struct h5in *in, const size_t *start, const size_t *n, double *out,
                      struct latent_error *err)
{
    struct box box = box_of(in, start, n);
    int status = ordered_read(in, &box, H5T_NATIVE_DOUBLE, sizeof *out, out, err);
    for (size_t i = 0; !status && has_meaning(in) && i < box.n_values; i++)
        out[i] = in->has_fill && out[i] == in->fill ? (double)NAN : out[i] * in->scale + in->shift;
    return status;
}

int h5in_read_floats(const struct h5in *in, const size_t *start, const size_t *n, float *out,
                     struct latent_error *err)
{
    struct box box = box_of(in, start, n);
    if (!has_meaning(in)) return ordered_read(in, &box, H5T_NATIVE_FLOAT, sizeof *out, out, err);
    double *values = malloc(box.n_values * sizeof *values);
    if (!values) return error_text(err, LATENT_E_NOMEM, "input %s: out of memory", in->name);
    int status = h5in_read_doubles(in, start, n, values, err);
    for (size_t i = 0; !status && i < box.n_values; i++) out[i] = (float)values[i];
    free(values);
    return status;
}

int h5in_read_all(const struct h5in *in, double **out, struct latent_error *err)
{
    const size_t start[H5IN_MAX_RANK] = {0};
    size_t n_values = 1;
    for (int i = 0; i < in->rank; i++) n_values *= in->shape[i];
    *out = calloc(n_values, sizeof **out);
    if (!*out) return error_text(err, LATENT_E_NOMEM, "input %s: out of memory", in->name);
    return h5in_read_doubles(in, start, in->shape, *out, err);
}
