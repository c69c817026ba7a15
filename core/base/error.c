/* Texts of errors: bounded, and safe to print whatever the file or path contained. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "latent_bytes.h"

/* Names and paths come from outside: what could break a line of a log becomes '?'. */
static void text_clean(char *text)
{
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        size_t n = bytes_of_character(s);
        if (!n) *s = '?';
        s += n ? n : 1;
    }
}

bool text_is_clean(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t n = bytes_of_character(s);
        if (!n) return false;
        s += n;
    }
    return true;
}

/* End a cut text with "...", between two characters. */
static void text_mark_cut(char *text, size_t size)
{
    size_t end = size - sizeof "...";
    while (end && ((unsigned char)text[end] & 0xc0) == 0x80) end--;
    memcpy(text + end, "...", sizeof "...");
}

int error_set(struct latent_error *err, int status, const char *format, ...)
{
    if (!err) return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n >= (int)sizeof err->text) text_mark_cut(err->text, sizeof err->text);
    text_clean(err->text);
    return status;
}
