/* A table of an HDF5 file, one data set per column, written row by row. */
#ifndef DATA_H5TABLE_H
#define DATA_H5TABLE_H

#include <stdint.h>

#include "data/h5out.h"

#define SLAB_MAX_COLUMNS 20

struct slab_column {
    const char *name;
    size_t width, n_bytes; /* values, and bytes of one */
    hid_t type, dataset;
    unsigned char *rows; /* [SLAB_ROWS][width] */
};

struct slab {
    struct h5out *out;
    const char *group;
    size_t n_rows;   /* of the whole table */
    size_t first, n; /* rows written; rows waiting */
    struct slab_column column[SLAB_MAX_COLUMNS];
    size_t n_columns;
};

/* Begin a table of so many rows in a group of its own. */
void slab_open(struct slab *s, struct h5out *out, const char *group, size_t n_rows);
/* Columns get numbers from 0 on. Whole numbers, 64 bits; rows of 32-bit floats, of
 * width 0: no column, but a number all the same. */
void slab_add_whole(struct slab *s, const char *name);
void slab_add_floats(struct slab *s, const char *name, size_t width);
/* Values of the row in hand. floats NULL: all NaN. */
void slab_set_whole(struct slab *s, size_t column, uint64_t value);
void slab_set_floats(struct slab *s, size_t column, const float *floats);
void slab_end_row(struct slab *s);
/* Writes what is left. Failures are h5out's. */
void slab_close(struct slab *s);

#endif
