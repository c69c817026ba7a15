/* HDF5 input. */
#include "data/h5in.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "data/h5.h"

/* ---- what is there ------------------------------------------------------------------ */

struct listing {
    char text[300];
    size_t used;
};

static herr_t on_object(hid_t file, const char *name, const H5O_info_t *info, void *data)
{
    struct listing *list = data;
    (void)file;
    if (info->type != H5O_TYPE_DATASET) return 0;
    int n = snprintf(list->text + list->used, sizeof list->text - list->used, "%s/%s",
                     list->used ? ", " : "", name);
    if (n < 0 || list->used + (size_t)n >= sizeof list->text) {
        snprintf(list->text + list->used, sizeof list->text - list->used, " ...");
        return 1;
    }
    list->used += (size_t)n;
    return 0;
}

static int fail_missing(const struct h5in *in, struct latent_error *err)
{
    struct listing list = {{0}, 0};
    H5Ovisit2(in->file, H5_INDEX_NAME, H5_ITER_INC, on_object, &list, H5O_INFO_BASIC);
    return error_text(err, LATENT_E_IO, "input %s: no such dataset; the file has %s", in->name,
                      list.used ? list.text : "none");
}

/* ---- opening ------------------------------------------------------------------------ */

static int file_open(struct h5in *in, const char *path, struct latent_error *err)
{
    if (access(path, R_OK) != 0)
        return error_text(err, LATENT_E_IO, "input %s: %s", path, strerror(errno));
    if (H5Fis_hdf5(path) <= 0)
        return error_text(err, LATENT_E_FORMAT, "input %s: not an HDF5 file", path);
    in->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (in->file >= 0) return 0;
    return error_text(err, LATENT_E_FORMAT, "input %s: cannot be opened: damaged, or being written",
                      path);
}

static int type_check(const struct h5in *in, struct latent_error *err)
{
    static const char *const names[] = {
        [H5T_INTEGER] = "integers",    [H5T_FLOAT] = "floats",         [H5T_TIME] = "times",
        [H5T_STRING] = "texts",        [H5T_BITFIELD] = "bit fields",  [H5T_OPAQUE] = "opaque",
        [H5T_COMPOUND] = "records",    [H5T_REFERENCE] = "references", [H5T_ENUM] = "enumerations",
        [H5T_VLEN] = "texts or lists", [H5T_ARRAY] = "arrays"};
    hid_t type = H5Dget_type(in->dataset);
    H5T_class_t class = H5Tget_class(type);
    H5Tclose(type);
    if (class == H5T_INTEGER || class == H5T_FLOAT) return 0;
    int known = class >= 0 && (size_t) class < sizeof names / sizeof names[0];
    return error_text(err, LATENT_E_FORMAT, "input %s: expected integers or floats, found %s",
                      in->name, known ? names[class] : "something else");
}

static int shape_check(struct h5in *in, int lowest_rank, int highest_rank, struct latent_error *err)
{
    static const char *const axes[] = {"[n]", "[time, channels]", "[trials, time, channels]"};
    hsize_t dims[H5S_MAX_RANK] = {0};
    hid_t space = H5Dget_space(in->dataset);
    in->rank = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    if (in->rank < lowest_rank || in->rank > highest_rank)
        return error_text(err, LATENT_E_SHAPE, "input %s: expected %s%s%s, found %d dimensions",
                          in->name, axes[lowest_rank - 1], highest_rank > lowest_rank ? " or " : "",
                          highest_rank > lowest_rank ? axes[highest_rank - 1] : "", in->rank);
    for (int i = 0; i < in->rank; i++) {
        in->shape[i] = dims[i];
        if (dims[i] == 0)
            return error_text(err, LATENT_E_SHAPE, "input %s: empty: dimension %d of %d is 0",
                              in->name, i + 1, in->rank);
    }
    return 0;
}

static int dataset_open(struct h5in *in, const char *path, struct latent_error *err)
{
    H5O_info_t info;
    if (H5Oget_info_by_name2(in->file, path, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0 ||
        info.type != H5O_TYPE_DATASET)
        return fail_missing(in, err);
    in->dataset = H5Dopen2(in->file, path, H5P_DEFAULT);
    return in->dataset >= 0 ? 0 : fail_missing(in, err);
}

int h5in_open(struct h5in *in, const char *file_and_path, int lowest_rank, int highest_rank,
              struct latent_error *err)
{
    const char *colon = strrchr(file_and_path, ':');
    char path[sizeof in->name];
    *in = (struct h5in){.file = H5I_INVALID_HID, .dataset = H5I_INVALID_HID};
    h5_start();
    int n = snprintf(in->name, sizeof in->name, "%s", file_and_path);
    if (!colon || colon == file_and_path || colon[1] != '/' || n >= (int)sizeof in->name)
        return error_text(err, LATENT_E_CONFIG, "input \"%s\": expected FILE.h5:/path/of/dataset",
                          file_and_path);
    snprintf(path, sizeof path, "%.*s", (int)(colon - file_and_path), file_and_path);
    int status = file_open(in, path, err);
    if (!status) status = dataset_open(in, colon + 1, err);
    if (!status) status = type_check(in, err);
    if (!status) status = shape_check(in, lowest_rank, highest_rank, err);
    if (status) h5in_close(in);
    return status;
}

void h5in_close(struct h5in *in)
{
    if (in->dataset > 0) H5Dclose(in->dataset);
    if (in->file > 0) H5Fclose(in->file);
    in->dataset = in->file = H5I_INVALID_HID;
}

/* ---- reading ------------------------------------------------------------------------ */

int h5in_read(const struct h5in *in, const size_t *start, const size_t *n, hid_t type, void *out,
              struct latent_error *err)
{
    hsize_t first[H5IN_MAX_RANK], count[H5IN_MAX_RANK];
    for (int i = 0; i < in->rank; i++) {
        first[i] = start[i];
        count[i] = n[i];
    }
    hid_t source = H5Dget_space(in->dataset);
    hid_t target = H5Screate_simple(in->rank, count, NULL);
    H5Sselect_hyperslab(source, H5S_SELECT_SET, first, NULL, count, NULL);
    herr_t failed = H5Dread(in->dataset, type, target, source, H5P_DEFAULT, out);
    H5Sclose(target);
    H5Sclose(source);
    if (failed >= 0) return 0;
    return error_text(
        err, LATENT_E_IO,
        "input %s: cannot be read: damaged, or packed by a filter that this HDF5 library lacks",
        in->name);
}

int h5in_read_all(const struct h5in *in, double **out, struct latent_error *err)
{
    size_t start = 0;
    *out = calloc(in->shape[0], sizeof **out);
    if (!*out) return error_text(err, LATENT_E_NOMEM, "input %s: out of memory", in->name);
    return h5in_read(in, &start, in->shape, H5T_NATIVE_DOUBLE, *out, err);
}

static double attribute_text(hid_t attribute, hid_t stored)
{
    char fixed[64] = {0}, *variable = NULL;
    double value = 0.0;
    if (H5Tis_variable_str(stored) > 0) {
        if (H5Aread(attribute, stored, &variable) >= 0 && variable) value = strtod(variable, NULL);
        H5free_memory(variable);
    } else if (H5Tget_size(stored) < sizeof fixed && H5Aread(attribute, stored, fixed) >= 0) {
        value = strtod(fixed, NULL);
    }
    return value;
}

/* One number, or the first of none: an attribute with several values is no answer. */
static double attribute_number(hid_t object, const char *name)
{
    double value = 0.0;
    if (H5Aexists(object, name) <= 0) return 0.0;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    hid_t stored = H5Aget_type(attribute), space = H5Aget_space(attribute);
    if (H5Sget_simple_extent_npoints(space) == 1) {
        if (H5Tget_class(stored) == H5T_STRING)
            value = attribute_text(attribute, stored);
        else if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) < 0)
            value = 0.0;
    }
    H5Sclose(space);
    H5Tclose(stored);
    H5Aclose(attribute);
    return isfinite(value) && value > 0.0 ? value : 0.0;
}

double h5in_attribute(const struct h5in *in, const char *name)
{
    double value = attribute_number(in->dataset, name);
    return value > 0.0 ? value : attribute_number(in->file, name);
}
