/* Rows are gathered and written a slab at a time. */
#include "data/h5table.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define H5TABLE_ROWS 256
#define MAX_NAME 128

void h5table_open(struct h5table *s, struct h5out *out, const char *group, size_t n_rows)
{
    *s = (struct h5table){.out = out, .group = group, .n_rows = n_rows};
    h5out_group(out, group);
}

static void add(struct h5table *s, const char *name, hid_t type, hid_t stored, size_t width,
                size_t n_bytes)
{
    const size_t shape[] = {s->n_rows, width};
    struct h5table_column *c = &s->column[s->n_columns++];
    char path[MAX_NAME];

    assert(s->n_columns <= H5TABLE_MAX_COLUMNS);
    *c = (struct h5table_column){
        .name = name, .width = width, .n_bytes = n_bytes, .type = type, .dataset = H5I_INVALID_HID};
    if (width == 0) return;
    snprintf(path, sizeof path, "%s/%s", s->group, name);
    c->rows = calloc(H5TABLE_ROWS * width, n_bytes);
    assert(c->rows);
    c->dataset = h5out_dataset(s->out, path, stored, n_bytes == 8 ? 1 : 2, shape);
}

void h5table_add_whole(struct h5table *s, const char *name)
{
    add(s, name, H5T_NATIVE_UINT64, H5T_STD_U64LE, 1, sizeof(uint64_t));
}

void h5table_add_floats(struct h5table *s, const char *name, size_t width)
{
    add(s, name, H5T_NATIVE_FLOAT, H5T_IEEE_F32LE, width, sizeof(float));
}

static unsigned char *place(struct h5table *s, size_t column)
{
    struct h5table_column *c = &s->column[column];

    assert(column < s->n_columns);
    return c->rows + s->n * c->width * c->n_bytes;
}

void h5table_set_whole(struct h5table *s, size_t column, uint64_t value)
{
    memcpy(place(s, column), &value, sizeof value);
}

void h5table_set_floats(struct h5table *s, size_t column, const float *floats)
{
    size_t width = s->column[column].width;
    const float none = NAN;

    for (size_t i = 0; i < width; i++)
        memcpy(place(s, column) + i * sizeof none, floats ? &floats[i] : &none, sizeof none);
}

static void write_rows(struct h5table *s)
{
    for (size_t i = 0; i < s->n_columns; i++)
        if (s->column[i].width > 0)
            h5out_rows(s->out, s->column[i].dataset, s->column[i].type, s->first, s->n,
                       s->column[i].rows);
    s->first += s->n;
    s->n = 0;
}

void h5table_end_row(struct h5table *s)
{
    assert(s->first + s->n < s->n_rows);
    if (++s->n == H5TABLE_ROWS) write_rows(s);
}

void h5table_close(struct h5table *s)
{
    write_rows(s);
    for (size_t i = 0; i < s->n_columns; i++) {
        h5out_close(s->out, s->column[i].dataset);
        free(s->column[i].rows);
    }
}
