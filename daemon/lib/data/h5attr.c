/* Reading attributes, and what to believe when several places state one fact. */
#include "data/h5attr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define TEXT_BYTES 80

static bool stored_text(hid_t attribute, hid_t stored, char *text, size_t size)
{
    char *fixed = NULL, *variable = NULL;
    size_t n = H5Tget_size(stored);
    bool found = false;
    if (H5Tis_variable_str(stored) > 0) {
        found = H5Aread(attribute, stored, &variable) >= 0 && variable;
        snprintf(text, size, "%s", found ? variable : "");
        H5free_memory(variable);
        return found;
    }
    fixed = calloc(n + 1, 1);
    found = fixed && H5Aread(attribute, stored, fixed) >= 0;
    snprintf(text, size, "%s", found ? fixed : "");
    free(fixed);
    return found;
}

/* Opens an attribute of one value. */
static bool single_open(hid_t object, const char *name, hid_t *attribute, hid_t *stored)
{
    *attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (*attribute < 0) return false;
    *stored = H5Aget_type(*attribute);
    hid_t space = H5Aget_space(*attribute);
    bool single = H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    return single;
}

bool h5attr_text(hid_t object, const char *name, char *text, size_t size)
{
    hid_t attribute, stored = H5I_INVALID_HID;
    text[0] = '\0';
    if (H5Aexists(object, name) <= 0) return false;
    bool found = single_open(object, name, &attribute, &stored) &&
                 H5Tget_class(stored) == H5T_STRING && stored_text(attribute, stored, text, size);
    if (stored >= 0) H5Tclose(stored);
    if (attribute >= 0) H5Aclose(attribute);
    return found;
}

/* The whole text must be the number: "20 ms" is none. */
static bool number_parse(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    while (*end == ' ' || *end == '\n') end++;
    return end != text && !*end;
}

static bool number_read(hid_t attribute, hid_t stored, double *value)
{
    char text[TEXT_BYTES];
    H5T_class_t class = H5Tget_class(stored);
    if (class == H5T_STRING)
        return stored_text(attribute, stored, text, sizeof text) && number_parse(text, value);
    return (class == H5T_INTEGER || class == H5T_FLOAT) &&
           H5Aread(attribute, H5T_NATIVE_DOUBLE, value) >= 0;
}

int h5attr_number(hid_t object, const char *name, const char *where, double *value,
                  struct latent_error *err)
{
    hid_t attribute, stored = H5I_INVALID_HID;
    if (H5Aexists(object, name) <= 0) return 0;
    bool found = single_open(object, name, &attribute, &stored) &&
                 number_read(attribute, stored, value) && isfinite(*value);
    if (stored >= 0) H5Tclose(stored);
    if (attribute >= 0) H5Aclose(attribute);
    if (found) return 1;
    return error_text(err, LATENT_E_FORMAT,
                      "input %s: attribute %s: expected one number, found something else", where,
                      name);
}

/* ---- facts -------------------------------------------------------------------------- */

static bool differ(double a, double b)
{
    return fabs(a - b) > 1e-6 * fmax(fabs(a), fabs(b));
}

/* What one object states: 0 in *value when it says nothing. */
static int object_fact(hid_t object, const char *where, const struct h5fact *fact, double *value,
                       struct latent_error *err)
{
    *value = 0.0;
    for (int i = 0; i < 2 && fact->attributes[i].name; i++) {
        const char *name = fact->attributes[i].name;
        double found = 0.0;
        int status = h5attr_number(object, name, where, &found, err);
        if (status < 0) return status;
        if (status == 0) continue;
        found *= fact->attributes[i].factor;
        if (found <= 0.0)
            return error_text(err, LATENT_E_VALUE,
                              "input %s: attribute %s: expected more than 0, found %g", where, name,
                              found);
        if (*value > 0.0 && differ(*value, found))
            return error_text(err, LATENT_E_VALUE,
                              "input %s: attributes %s and %s contradict each other: %g %s, %g %s",
                              where, fact->attributes[0].name, name, *value, fact->unit, found,
                              fact->unit);
        *value = found;
    }
    return 0;
}

int h5fact_find(hid_t dataset, hid_t file, const char *where, const struct h5fact *fact,
                double option, double *value, struct latent_error *err)
{
    double own, of_file;
    int status = object_fact(dataset, where, fact, &own, err);
    if (!status) status = object_fact(file, where, fact, &of_file, err);
    if (status) return status;
    double stated = own > 0.0 ? own : of_file;
    bool binds = own > 0.0 || !fact->option_over_file;
    if (option > 0.0 && stated > 0.0 && binds && differ(stated, option))
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: its attribute says %s %g %s, %s says %g: leave %s out", where,
                          fact->what, stated, fact->unit, fact->option, option, fact->option);
    if (option <= 0.0 && own > 0.0 && of_file > 0.0 && differ(own, of_file))
        return error_text(err, LATENT_E_CONFIG,
                          "input %s: the dataset's attribute says %s %g %s, the file's %g: give %s "
                          "with the dataset's if that is right",
                          where, fact->what, own, fact->unit, of_file, fact->option);
    *value = option > 0.0 ? option : stated;
    return 0;
}
