/* Texts that may quote what came from outside. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "latent_bytes.h"

char *printable(char *text)
{
    unsigned char *at = (unsigned char *)text;

    while (*at) {
        size_t n = bytes_of_character(at);

        if (n == 0) *at = '?';
        at += n ? n : 1;
    }
    return text;
}

int error_text(struct latent_error *err, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err->status = status;
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    printable(err->text);
    return status;
}

int text_refuse(char *why, size_t n_why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, n_why, format, args);
    va_end(args);
    return -1;
}
