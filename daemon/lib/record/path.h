/* Names of records. */
#ifndef RECORD_PATH_H
#define RECORD_PATH_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "latent.h"

/* %Y, %m, ... of pattern become the time in UTC (strftime). 0, or negative and a text. */
int record_path(const char *pattern, time_t now, char *path, size_t n_path,
                struct latent_error *err);
/* Make path one from the root on. Negative and a text if there is no folder that a file of this
 * name can be made in. */
int record_path_resolve(char *path, size_t n_path, struct latent_error *err);
/* If a file of this name exists, or one that SQLite would take for a part of it, add the first free
 * number before its suffix: arm-2.record. */
int record_path_number(char *path, size_t n_path, struct latent_error *err);
/* The same for a record that goes on in another file: never path itself, but the first free number
 * from `number` on. */
int record_path_next(char *path, size_t n_path, uint64_t number, struct latent_error *err);

#endif
