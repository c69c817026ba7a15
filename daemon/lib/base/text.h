/* Texts of errors, and texts that quote what came from outside, made safe for a terminal and for a
 * log. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>

#include "latent.h"

/* Fills err and returns status, so that a caller can write `return error_text(...)`. One sentence
 * that says what, where, expected, found, what to do. */
int error_text(struct latent_error *err, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same into why [n_why], cut to its size and as it is; returns -1. */
int text_refuse(char *why, size_t n_why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Control characters (of ASCII, and C1 in UTF-8) and what is no UTF-8 become '?': what a peer or a
 * file sends must neither move a cursor nor forge a line. In place; returns text. */
char *printable(char *text);

#endif
