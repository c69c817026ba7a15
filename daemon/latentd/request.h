/* Control requests answered. */
#ifndef LATENTD_REQUEST_H
#define LATENTD_REQUEST_H

#include "latentd/daemon.h"

/* The packed Reply to a packed Request; to be freed. NULL: out of memory. Whatever the
 * bytes are, they are answered. */
void *request_answer(struct daemon *d, const void *bytes, size_t n_bytes,
                     size_t *n_reply);

#endif
