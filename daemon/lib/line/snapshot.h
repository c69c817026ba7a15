/* What line_save writes and line_load reads. */
#ifndef LINE_SNAPSHOT_H
#define LINE_SNAPSHOT_H

#include "line/inside.h"

/* The line's part of a snapshot of format 1, the struct as it lay in memory, which records of
 * earlier versions hold. read: state, and line->read_kept; false: damaged, or with a value that
 * cannot be. n is at least the size. */
size_t snapshot_old_size(const struct line *line);
bool snapshot_old_read(struct line *line, const unsigned char *bytes, size_t n,
                       struct line_memory *state);

#endif
