/* Texts of errors. Every text says what, where, expected, found, and what to do. */
#ifndef LATENT_ERROR_H
#define LATENT_ERROR_H

#include <stdbool.h>

#include "latent.h"

/* Fill err (may be NULL) and return status. Control characters and malformed UTF-8 (names and paths
 * come from outside) become '?', a text that is too long ends in "...". */
int error_set(struct latent_error *err, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* UTF-8 without control characters. */
bool text_is_clean(const char *text);

#endif
