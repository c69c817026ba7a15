/* HDF5 input: opening, and what a file says about its values. */
#include "data/h5in.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "data/h5.h"
#include "data/h5attr.h"
#include "data/h5stored.h"
#include "data/lzf.h"

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

/* Booleans as h5py has them: an enumeration of FALSE and TRUE. */
static bool is_boolean(hid_t type)
{
    unsigned char value[16];
    return H5Tget_class(type) == H5T_ENUM && H5Tget_size(type) <= sizeof value &&
           H5Tget_nmembers(type) == 2 && H5Tenum_valueof(type, "FALSE", value) >= 0 &&
           H5Tenum_valueof(type, "TRUE", value) >= 0;
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
    bool boolean = is_boolean(type);
    H5Tclose(type);
    if (class == H5T_INTEGER || class == H5T_FLOAT || boolean) return 0;
    int known = class >= 0 && (size_t) class < sizeof names / sizeof names[0];
    return error_text(err, LATENT_E_FORMAT, "input %s: expected integers or floats, found %s",
                      in->name, known ? names[class] : "something else");
}

/* MATLAB writes an empty array as the list of its dimensions; some of its classes are not numbers
 * though they are stored as such. */
static int matlab_check(const struct h5in *in, struct latent_error *err)
{
    char class[32];
    double empty = 0.0;
    int status = h5attr_number(in->dataset, "MATLAB_empty", in->name, &empty, err);
    if (status < 0) return status;
    if (empty != 0.0)
        return error_text(err, LATENT_E_SHAPE, "input %s: empty: an empty array of MATLAB",
                          in->name);
    if (!h5attr_text(in->dataset, "MATLAB_class", class, sizeof class)) return 0;
    if (strcmp(class, "char") != 0 && strcmp(class, "cell") != 0 && strcmp(class, "struct") != 0 &&
        strcmp(class, "function_handle") != 0)
        return 0;
    return error_text(err, LATENT_E_FORMAT, "input %s: expected numbers, found %s of MATLAB",
                      in->name, class);
}

/* ---- axes --------------------------------------------------------------------------- */

/* Leaves out axes of one element where one axis is wanted. */
static void vector_squeeze(struct h5in *in, const hsize_t *dims)
{
    int kept = 0, n_long = 0;
    for (int i = 0; i < in->stored_rank; i++)
        if (dims[i] != 1) {
            kept = i;
            n_long++;
        }
    if (n_long > 1 || in->stored_rank < 1) return;
    in->rank = 1;
    in->axis[0] = kept;
}

static int axes_set(struct h5in *in, const hsize_t *dims, enum h5in_axes axes,
                    struct latent_error *err)
{
    char class[32];
    bool matlab = h5attr_text(in->dataset, "MATLAB_class", class, sizeof class);
    if (matlab && axes == H5IN_AXES_ASK && in->rank > 1)
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: a MATLAB file, whose axes lie in reverse order: give "
                          "--transpose to read them as MATLAB shows them, --as-stored if they were "
                          "turned before",
                          in->name);
    for (int i = 0; i < in->rank && in->rank > 1; i++)
        in->axis[i] = axes == H5IN_AXES_REVERSED ? in->rank - 1 - i : i;
    for (int i = 0; i < in->rank; i++) in->shape[i] = dims[in->axis[i]];
    return 0;
}

static int shape_check(struct h5in *in, enum h5in_axes axes, int lowest_rank, int highest_rank,
                       struct latent_error *err)
{
    static const char *const names[] = {"[n]", "[time, channels]", "[trials, time, channels]"};
    hsize_t dims[H5S_MAX_RANK] = {0};
    hid_t space = H5Dget_space(in->dataset);
    in->rank = in->stored_rank = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    if (highest_rank == 1 && in->stored_rank <= H5IN_MAX_RANK) vector_squeeze(in, dims);
    if (in->rank < lowest_rank || in->rank > highest_rank)
        return error_text(err, LATENT_E_SHAPE, "input %s: expected %s%s%s, found %d dimensions",
                          in->name, names[lowest_rank > 0 ? lowest_rank - 1 : 0],
                          highest_rank > lowest_rank ? " or " : "",
                          highest_rank > lowest_rank ? names[highest_rank - 1] : "", in->rank);
    for (int i = 0; i < in->stored_rank; i++)
        if (dims[i] == 0)
            return error_text(err, LATENT_E_SHAPE, "input %s: empty: dimension %d of %d is 0",
                              in->name, i + 1, in->stored_rank);
    return axes_set(in, dims, axes, err);
}

/* ---- what the file says about its values -------------------------------------------- */

/* scale and shift by the names of one convention. */
static int scale_find(struct h5in *in, const char *scale, const char *shift,
                      struct latent_error *err)
{
    double a = 1.0, b = 0.0;
    int has_scale = h5attr_number(in->dataset, scale, in->name, &a, err);
    if (has_scale < 0) return has_scale;
    int has_shift = h5attr_number(in->dataset, shift, in->name, &b, err);
    if (has_shift < 0) return has_shift;
    if (!has_scale && has_shift && b != 0.0)
        return error_text(err, LATENT_E_FORMAT,
                          "input %s: an attribute %s of %g without %s: what it belongs to cannot "
                          "be told",
                          in->name, shift, b, scale);
    if (!has_scale) return 0;
    in->scale *= a;
    in->shift = in->shift * a + b;
    return 0;
}

static int fill_find(struct h5in *in, const char *name, struct latent_error *err)
{
    int status = h5attr_number(in->dataset, name, in->name, &in->fill, err);
    if (status == 1) in->has_fill = true;
    return status < 0 ? status : 0;
}

/* NWB: conversion, offset, channel_conversion. netCDF: scale_factor, add_offset, _FillValue. */
static int meaning_find(struct h5in *in, struct latent_error *err)
{
    in->scale = 1.0;
    if (H5Aexists(in->dataset, "channel_conversion") > 0)
        return error_text(err, LATENT_E_UNSUPPORTED,
                          "input %s: an attribute channel_conversion, which is not applied here: "
                          "store the values themselves",
                          in->name);
    int status = scale_find(in, "conversion", "offset", err);
    if (!status) status = scale_find(in, "scale_factor", "add_offset", err);
    if (!status) status = fill_find(in, "missing_value", err);
    if (!status) status = fill_find(in, "_FillValue", err);
    return status;
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

/* FILE and /path of a place; false: it is none. */
static bool place_split(const char *place, char file[H5IN_NAME], const char **path)
{
    const char *colon = strrchr(place, ':');
    if (!colon || colon == place || colon[1] != '/' || strlen(place) >= H5IN_NAME) return false;
    snprintf(file, H5IN_NAME, "%.*s", (int)(colon - place), place);
    *path = colon + 1;
    return true;
}

int h5in_open(struct h5in *in, const char *place, enum h5in_axes axes, int lowest_rank,
              int highest_rank, struct latent_error *err)
{
    char file[H5IN_NAME];
    const char *path;
    *in = (struct h5in){.file = H5I_INVALID_HID, .dataset = H5I_INVALID_HID};
    h5_start();
    lzf_register();
    if (!place_split(place, file, &path))
        return error_text(err, LATENT_E_CONFIG, "input \"%s\": expected FILE.h5:/path/of/dataset",
                          place);
    snprintf(in->name, sizeof in->name, "%s", place);
    int status = file_open(in, file, err);
    if (!status) status = dataset_open(in, path, err);
    if (!status) status = type_check(in, err);
    if (!status) status = matlab_check(in, err);
    if (!status) status = shape_check(in, axes, lowest_rank, highest_rank, err);
    if (!status) status = meaning_find(in, err);
    if (!status) status = h5stored_check(in->dataset, in->name, file, err);
    if (status) h5in_close(in);
    return status;
}

void h5in_close(struct h5in *in)
{
    if (in->dataset > 0) H5Dclose(in->dataset);
    if (in->file > 0) H5Fclose(in->file);
    in->dataset = in->file = H5I_INVALID_HID;
}

void h5in_place(char out[H5IN_NAME], const char *place, const char *home)
{
    const char *colon = home ? strrchr(home, ':') : NULL;
    if (place[0] == '/' && !strstr(place, ":/") && colon)
        snprintf(out, H5IN_NAME, "%.*s%.*s", (int)(colon + 1 - home), home, H5IN_NAME / 2, place);
    else
        snprintf(out, H5IN_NAME, "%s", place);
}

static bool is_object(const char *place, H5O_type_t type)
{
    char path[H5IN_NAME];
    const char *inner;
    H5O_info_t info;
    h5_start();
    if (!place_split(place, path, &inner) || access(path, R_OK) != 0) return false;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) return false;
    bool found = H5Oget_info_by_name2(file, inner, &info, H5O_INFO_BASIC, H5P_DEFAULT) >= 0 &&
                 info.type == type;
    H5Fclose(file);
    return found;
}

bool h5in_is_group(const char *place)
{
    return is_object(place, H5O_TYPE_GROUP);
}

bool h5in_is_dataset(const char *place)
{
    return is_object(place, H5O_TYPE_DATASET);
}
