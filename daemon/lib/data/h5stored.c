/* Storage of datasets: chunks, other files, filters. */
#include "data/h5stored.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define MOST_DEPTH 4 /* virtual datasets of virtual datasets */
#define PATH_BYTES 4096

struct place {
    const char *where, *path; /* the input's name; the file that this dataset lies in */
    int depth;
    struct latent_error *err;
};

static int dataset_check(hid_t dataset, const struct place *place);

static int filters_check(hid_t creation, const struct place *place)
{
    for (int i = 0; i < H5Pget_nfilters(creation); i++) {
        unsigned flags, config;
        size_t n_values = 0;
        char name[64] = "";
        H5Z_filter_t id = H5Pget_filter2(creation, (unsigned)i, &flags, &n_values, NULL,
                                         sizeof name, name, &config);
        if (H5Zfilter_avail(id) <= 0)
            return error_text(place->err, LATENT_E_UNSUPPORTED,
                              "input %s: packed by filter %d (%.60s), which this HDF5 library "
                              "lacks: pack it by gzip (h5repack -f GZIP=4)",
                              place->where, (int)id, name[0] ? name : "no name");
    }
    return 0;
}

static int chunks_check(hid_t dataset, hid_t creation, const struct place *place)
{
    hsize_t chunk[H5S_MAX_RANK], shape[H5S_MAX_RANK], n_found = 0, n_expected = 1;
    hid_t space = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_dims(space, shape, NULL);
    bool known = H5Pget_chunk(creation, H5S_MAX_RANK, chunk) == rank &&
                 H5Dget_num_chunks(dataset, space, &n_found) >= 0;
    H5Sclose(space);
    for (int i = 0; known && i < rank; i++) n_expected *= (shape[i] + chunk[i] - 1) / chunk[i];
    if (!known || n_found == n_expected) return 0;
    return error_text(place->err, LATENT_E_FORMAT,
                      "input %s: %llu of its %llu chunks were never written: they would be read as "
                      "the fill value",
                      place->where, (unsigned long long)(n_expected - n_found),
                      (unsigned long long)n_expected);
}

/* ---- other files -------------------------------------------------------------------- */

/* A file named in another one: absolute, beside it, or from here on. */
static void beside(char *out, const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    snprintf(out, PATH_BYTES, "%s", name);
    if (name[0] == '/' || !slash) return;
    snprintf(out, PATH_BYTES, "%.*s/%s", (int)(slash - path), path, name);
    if (access(out, F_OK) != 0) snprintf(out, PATH_BYTES, "%s", name);
}

/* Raw values in files beside: what such a file is short of is read as 0. */
static int external_check(hid_t creation, const struct place *place)
{
    int n = H5Pget_external_count(creation);
    for (int i = 0; i < n; i++) {
        char name[PATH_BYTES] = "", path[PATH_BYTES];
        off_t offset = 0;
        hsize_t size = 0;
        struct stat file;
        H5Pget_external(creation, (unsigned)i, sizeof name - 1, name, &offset, &size);
        beside(path, place->path, name);
        if (stat(path, &file) != 0 || (hsize_t)file.st_size < (hsize_t)offset + size)
            return error_text(place->err, LATENT_E_IO,
                              "input %s: its values lie in %.300s, which is missing or too short",
                              place->where, name);
    }
    return 0;
}

/* Does the dataset reach as far as what is taken of it? */
static bool reaches(hid_t dataset, hid_t selection)
{
    hsize_t low[H5S_MAX_RANK], high[H5S_MAX_RANK], shape[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    int rank = H5Sget_simple_extent_dims(space, shape, NULL);
    bool ends = selection >= 0 && H5Sget_simple_extent_ndims(selection) == rank &&
                H5Sget_select_bounds(selection, low, high) >= 0;
    H5Sclose(space);
    for (int i = 0; ends && i < rank; i++)
        if (high[i] >= shape[i]) return false;
    return true; /* without an end: as far as the source goes */
}

/* One source of a virtual dataset. */
static int source_check(hid_t own, const char *name, const char *inner, hid_t selection,
                        const struct place *place)
{
    char path[PATH_BYTES];
    hid_t file = H5I_INVALID_HID, source = H5I_INVALID_HID;
    bool here = strcmp(name, ".") == 0;
    beside(path, place->path, name);
    if (here)
        file = H5Iget_file_id(own);
    else if (access(path, R_OK) == 0)
        file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file >= 0) source = H5Dopen2(file, inner, H5P_DEFAULT);
    const struct place next = {place->where, here ? place->path : path, place->depth + 1,
                               place->err};
    int status;
    if (source < 0)
        status = error_text(place->err, LATENT_E_IO,
                            "input %s: a virtual dataset, whose part from %.200s:%.100s is not "
                            "there: bring that file back beside it",
                            place->where, name, inner);
    else if (!reaches(source, selection))
        status = error_text(place->err, LATENT_E_SHAPE,
                            "input %s: a virtual dataset, whose source %.200s:%.100s is shorter "
                            "than the part that is taken of it",
                            place->where, name, inner);
    else
        status = dataset_check(source, &next);
    if (source >= 0) H5Dclose(source);
    if (file >= 0) H5Fclose(file);
    return status;
}

/* The values that source i of a virtual dataset fills; 0: as many as there are. */
static int mapping_check(hid_t dataset, hid_t creation, size_t i, hssize_t *n_values,
                         const struct place *place)
{
    char name[PATH_BYTES] = "", inner[PATH_BYTES] = "";
    H5Pget_virtual_filename(creation, i, name, sizeof name);
    H5Pget_virtual_dsetname(creation, i, inner, sizeof inner);
    if (strchr(name, '%') || strchr(inner, '%'))
        return error_text(place->err, LATENT_E_UNSUPPORTED,
                          "input %s: a virtual dataset of numbered files (%.200s): copy it into "
                          "one dataset first",
                          place->where, name);
    hid_t source = H5Pget_virtual_srcspace(creation, i), own = H5Pget_virtual_vspace(creation, i);
    *n_values = H5Sget_select_npoints(own);
    int status = source_check(dataset, name, inner, source, place);
    H5Sclose(source);
    H5Sclose(own);
    return status;
}

static int virtual_check(hid_t dataset, hid_t creation, const struct place *place)
{
    size_t n = 0;
    hssize_t n_mapped = 0, n_values = 0;
    bool bounded = true;
    int status = 0;
    H5Pget_virtual_count(creation, &n);
    for (size_t i = 0; !status && i < n; i++) {
        status = mapping_check(dataset, creation, i, &n_values, place);
        bounded = bounded && n_values >= 0;
        n_mapped += n_values;
    }
    hid_t space = H5Dget_space(dataset);
    hssize_t n_all = H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    if (!status && bounded && n_mapped < n_all)
        return error_text(place->err, LATENT_E_FORMAT,
                          "input %s: a virtual dataset whose sources fill %lld of its %lld values",
                          place->where, (long long)n_mapped, (long long)n_all);
    return status;
}

static int layout_check(hid_t dataset, hid_t creation, const struct place *place)
{
    H5D_space_status_t space;
    H5D_layout_t layout = H5Pget_layout(creation);
    if (layout == H5D_VIRTUAL) return virtual_check(dataset, creation, place);
    if (layout == H5D_CHUNKED) return chunks_check(dataset, creation, place);
    if (H5Pget_external_count(creation) > 0) return external_check(creation, place);
    if (H5Dget_space_status(dataset, &space) >= 0 && space == H5D_SPACE_STATUS_NOT_ALLOCATED)
        return error_text(place->err, LATENT_E_FORMAT, "input %s: was never written", place->where);
    return 0;
}

static int dataset_check(hid_t dataset, const struct place *place)
{
    if (place->depth > MOST_DEPTH)
        return error_text(place->err, LATENT_E_UNSUPPORTED,
                          "input %s: virtual datasets of virtual datasets, more than %d deep",
                          place->where, MOST_DEPTH);
    hid_t creation = H5Dget_create_plist(dataset);
    int status = filters_check(creation, place);
    if (!status) status = layout_check(dataset, creation, place);
    H5Pclose(creation);
    return status;
}

int h5stored_check(hid_t dataset, const char *where, const char *path, struct latent_error *err)
{
    const struct place place = {where, path, 0, err};
    return dataset_check(dataset, &place);
}
