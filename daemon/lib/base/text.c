/* Texts that may quote what came from outside. */
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7F;
}

/* C1 in UTF-8, both bytes: half of a letter is none that JSON takes. */
static bool is_c1(const char *at)
{
    return (unsigned char)at[0] == 0xC2 && (unsigned char)at[1] >= 0x80 &&
           (unsigned char)at[1] <= 0x9F;
}

char *printable(char *text)
{
    for (char *at = text; *at; at++) {
        if (is_c1(at)) at[0] = at[1] = '?';
        if (is_control((unsigned char)*at)) *at = '?';
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
