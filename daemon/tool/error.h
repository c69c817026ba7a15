/* Error texts of the command-line tools: one sentence that says what, where, expected,
 * found. */
#ifndef TOOL_ERROR_H
#define TOOL_ERROR_H

#include "latent.h"

/* Fills err and returns status, so that a caller can write `return tool_error(...)`. */
int tool_error(struct latent_error *err, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
