/* Files that appear at their path whole or not at all: written beside it under another name,
 * renamed over it once everything is on the disk. */
#ifndef DATA_WHOLE_FILE_H
#define DATA_WHOLE_FILE_H

#include "latent.h"

#define WHOLE_FILE_PATH 4096

struct whole_file {
    char path[WHOLE_FILE_PATH], temporary[WHOLE_FILE_PATH];
};

/* The two names of a file that will stand at `path`: a new name, or that of a regular file, which
 * it will replace. */
int whole_file_name(struct whole_file *file, const char *path, struct latent_error *err);
/* Brings the closed temporary file to the disk and to its path. On failure it is removed. */
int whole_file_commit(struct whole_file *file, struct latent_error *err);
void whole_file_abort(struct whole_file *file); /* also of a zeroed one */

/* "output PATH: cannot DOING: REASON", with errno as the reason where it is set. */
int whole_file_fail(const struct whole_file *file, const char *doing, struct latent_error *err);

#endif
