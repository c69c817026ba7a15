/* Attributes of HDF5 objects: numbers, also written as text, and short texts. */
#ifndef DATA_H5ATTR_H
#define DATA_H5ATTR_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

#include "latent.h"

/* One finite number. 1: found; 0: no such attribute; negative: it is something else, and err says
 * so, with `where` (an input's name) in front. */
int h5attr_number(hid_t object, const char *name, const char *where, double *value,
                  struct latent_error *err);
/* A text, cut to size: true, or no such text. */
bool h5attr_text(hid_t object, const char *name, char *text, size_t size);

/* A fact that a file may state and an option may, too. */
struct h5fact {
    const char *option;      /* "--bin-ms" */
    const char *what, *unit; /* "bins of", "ms": for the texts */
    struct {
        const char *name; /* NULL: no second one */
        double factor;    /* to `unit` */
    } attributes[2];
    bool option_over_file; /* the option wins over the file's attribute, not the dataset's */
};

/* The attribute of the dataset before that of the file before the option (0: not given). What
 * contradicts is refused: dataset and file, unless the option says which; option and attribute.
 * *value: in `unit`, 0 when nobody says it. */
int h5fact_find(hid_t dataset, hid_t file, const char *where, const struct h5fact *fact,
                double option, double *value, struct latent_error *err);

#endif
