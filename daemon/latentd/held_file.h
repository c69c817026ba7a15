/* The names of the streams that the operator holds in SAFE, as a file that outlives the daemon. */
#ifndef LATENTD_HELD_FILE_H
#define LATENTD_HELD_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

#define HELD_MOST_NAMES (2 * CONF_MAX_STREAMS) /* those of streams that are not configured, too */

struct held_names {
    size_t n;
    char name[HELD_MOST_NAMES][CONF_MAX_NAME + 1];
};

/* false: it has no more place. A name that is there already is added once. */
bool held_names_add(struct held_names *names, const char *name);
bool held_names_have(const struct held_names *names, const char *name);
void held_names_remove(struct held_names *names, const char *name);

/* Read path; where no file is, there are no names. 0; or negative, a text and no names: it cannot
 * be read, or is not whole as it was written, so that any stream may be one of them. */
int held_file_read(const char *path, struct held_names *out, struct latent_error *err);
/* Replace path by these names, at once and on the disk when it returns; none: remove it. What was
 * there before stays when it fails. 0, or negative and a text. */
int held_file_write(const char *path, const struct held_names *names, struct latent_error *err);

#endif
