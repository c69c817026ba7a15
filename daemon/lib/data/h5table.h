/* A table of an HDF5 file, one data set per column, written row by row. */
#ifndef DATA_H5TABLE_H
#define DATA_H5TABLE_H

#include <stdint.h>

#include "data/h5out.h"

#define H5TABLE_MAX_COLUMNS 20

struct h5table_column {
    const char *name;
    size_t width, n_bytes; /* values, and bytes of one */
    hid_t type, dataset;
    unsigned char *rows; /* [H5TABLE_ROWS][width] */
};

struct h5table {
    struct h5out *out;
    const char *group;
    size_t n_rows;   /* of the whole table */
    size_t first, n; /* rows written; rows waiting */
    struct h5table_column column[H5TABLE_MAX_COLUMNS];
    size_t n_columns;
};

/* Begin a table of so many rows in a group of its own. */
void h5table_open(struct h5table *s, struct h5out *out, const char *group, size_t n_rows);
/* Columns get numbers from 0 on. Whole numbers, 64 bits; rows of 32-bit floats, of width 0: no
 * column, but a number all the same. */
void h5table_add_whole(struct h5table *s, const char *name);
void h5table_add_floats(struct h5table *s, const char *name, size_t width);
/* Values of the row in hand. floats NULL: all NaN. */
void h5table_set_whole(struct h5table *s, size_t column, uint64_t value);
void h5table_set_floats(struct h5table *s, size_t column, const float *floats);
void h5table_end_row(struct h5table *s);
/* Writes what is left. Failures are h5out's. */
void h5table_close(struct h5table *s);

#endif
