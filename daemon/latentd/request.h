/* Control requests answered. */
#ifndef LATENTD_REQUEST_H
#define LATENTD_REQUEST_H

#include "latentd/daemon.h"

/* The packed Reply to a packed Request; to be freed. NULL: out of memory. Whatever the
 * bytes are, they are answered. may_change false: only what tells, and does not change,
 * is done. */
void *request_answer(struct daemon *d, bool may_change, const void *bytes, size_t n_bytes,
                     size_t *n_reply);

#endif
