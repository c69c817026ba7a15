/* Texts that may quote what came from outside. */
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static bool is_control(unsigned char before, unsigned char c)
{
    bool is_c1 = before == 0xC2 && c >= 0x80 && c <= 0x9F;

    return c < 0x20 || c == 0x7F || is_c1;
}

char *printable(char *text)
{
    unsigned char before = 0;

    for (char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;

        if (is_control(before, c)) *at = '?';
        before = c;
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
