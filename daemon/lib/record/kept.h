/* What can still be read of a record to whose files something has happened. */
#ifndef RECORD_KEPT_H
#define RECORD_KEPT_H

#include <stdbool.h>
#include <stdint.h>

/* Reads it from its beginning, until the first thing that cannot be read; its WAL, if it is beside
 * it, is folded in. false: the system does not let it be opened now, so that nothing is known. */
bool kept_count(const char *path, uint64_t *n_entries, uint64_t *n_frames);

#endif
