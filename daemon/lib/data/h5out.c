/* Atomic writing of HDF5 files. */
#include "data/h5out.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "data/h5.h"

#define MAX_RANK 3

/* Keeps the first failure, with the system's reason where there is one. */
static void h5out_fail(struct h5out *out, const char *doing, const char *name)
{
    int reason = errno;
    if (out->failed) return;
    out->failed = 1;
    error_text(out->err, LATENT_E_IO, "output %s: cannot %s%s%s: %s", out->to.path, doing,
               name ? " " : "", name ? name : "",
               reason ? strerror(reason) : "refused by the HDF5 library");
}

int h5out_create(struct h5out *out, const char *path, struct latent_error *err)
{
    *out = (struct h5out){.file = H5I_INVALID_HID, .err = err};
    out->failed = whole_file_name(&out->to, path, err) != 0;
    if (out->failed) return err->status;
    h5_start();
    errno = 0;
    out->file = H5Fcreate(out->to.temporary, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (out->file < 0) h5out_fail(out, "create", out->to.temporary);
    return out->failed ? err->status : 0;
}

static hid_t space_new(int rank, const size_t *shape)
{
    hsize_t dims[MAX_RANK];
    assert(rank >= 1 && rank <= MAX_RANK);
    for (int i = 0; i < rank; i++) dims[i] = shape[i];
    return H5Screate_simple(rank, dims, NULL);
}

hid_t h5out_dataset(struct h5out *out, const char *name, hid_t stored, int rank,
                    const size_t *shape)
{
    if (out->failed) return H5I_INVALID_HID;
    errno = 0;
    hid_t space = space_new(rank, shape);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(creation, 0);
    hid_t dataset = H5Dcreate2(out->file, name, stored, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Pclose(creation);
    H5Sclose(space);
    if (dataset < 0) h5out_fail(out, "write", name);
    return dataset;
}

void h5out_box(struct h5out *out, hid_t dataset, hid_t type, int n_axes, const size_t *start,
               const size_t *n, const void *data)
{
    hsize_t first[MAX_RANK] = {0}, count[MAX_RANK];
    if (out->failed) return;
    errno = 0;
    hid_t target = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_dims(target, count, NULL);
    assert(n_axes <= rank && rank <= MAX_RANK);
    for (int i = 0; i < n_axes; i++) {
        first[i] = start[i];
        count[i] = n[i];
    }
    H5Sselect_hyperslab(target, H5S_SELECT_SET, first, NULL, count, NULL);
    hid_t source = H5Screate_simple(rank, count, NULL);
    if (H5Dwrite(dataset, type, source, target, H5P_DEFAULT, data) < 0)
        h5out_fail(out, "write", "rows");
    H5Sclose(source);
    H5Sclose(target);
}

void h5out_rows(struct h5out *out, hid_t dataset, hid_t type, size_t first, size_t n,
                const void *data)
{
    if (n > 0) h5out_box(out, dataset, type, 1, &first, &n, data);
}

void h5out_close(struct h5out *out, hid_t dataset)
{
    errno = 0;
    if (dataset >= 0 && H5Dclose(dataset) < 0) h5out_fail(out, "write", "rows");
}

void h5out_array(struct h5out *out, const char *name, hid_t type, int rank, const size_t *shape,
                 const void *data)
{
    hid_t dataset = h5out_dataset(out, name, type, rank, shape);
    h5out_rows(out, dataset, type, 0, shape[0], data);
    h5out_close(out, dataset);
}

void h5out_group(struct h5out *out, const char *name)
{
    if (out->failed) return;
    errno = 0;
    hid_t group = H5Gcreate2(out->file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0 || H5Gclose(group) < 0) h5out_fail(out, "write", name);
}

static void attribute_write(struct h5out *out, const char *path, const char *name, hid_t type,
                            hid_t space, const void *data)
{
    if (out->failed) return;
    errno = 0;
    hid_t attribute = H5Acreate_by_name(out->file, path, name, type, space, H5P_DEFAULT,
                                        H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, data) < 0)
        h5out_fail(out, "write attribute", name);
    if (attribute >= 0) H5Aclose(attribute);
}

void h5out_number(struct h5out *out, const char *path, const char *name, double value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    attribute_write(out, path, name, H5T_NATIVE_DOUBLE, space, &value);
    H5Sclose(space);
}

void h5out_numbers(struct h5out *out, const char *path, const char *name, size_t n,
                   const double *values)
{
    hid_t space = space_new(1, &n);
    attribute_write(out, path, name, H5T_NATIVE_DOUBLE, space, values);
    H5Sclose(space);
}

static hid_t text_type_new(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

void h5out_text(struct h5out *out, const char *path, const char *name, const char *text)
{
    hid_t space = H5Screate(H5S_SCALAR), type = text_type_new();
    attribute_write(out, path, name, type, space, &text);
    H5Tclose(type);
    H5Sclose(space);
}

void h5out_texts(struct h5out *out, const char *path, const char *name, size_t n,
                 const char *const *texts)
{
    hid_t space = space_new(1, &n), type = text_type_new();
    attribute_write(out, path, name, type, space, texts);
    H5Tclose(type);
    H5Sclose(space);
}

int h5out_commit(struct h5out *out)
{
    errno = 0;
    if (!out->failed && H5Fflush(out->file, H5F_SCOPE_GLOBAL) < 0) h5out_fail(out, "write", NULL);
    errno = 0;
    if (!out->failed) {
        if (H5Fclose(out->file) < 0) h5out_fail(out, "write", NULL);
        out->file = H5I_INVALID_HID;
    }
    if (!out->failed) return whole_file_commit(&out->to, out->err);
    h5out_abort(out);
    return out->err->status;
}

void h5out_abort(struct h5out *out)
{
    if (out->file >= 0) H5Fclose(out->file);
    out->file = H5I_INVALID_HID;
    whole_file_abort(&out->to);
}
