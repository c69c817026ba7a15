/* Texts of errors: bounded, and safe to print whatever the file or path contained. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at s (NUL-terminated); 0 when malformed or a control character. */
static size_t character_length(const unsigned char *s)
{
    if (s[0] < 0x80) return s[0] >= 0x20 && s[0] != 0x7f;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (s[0] == 0xc2 && s[1] < 0xa0) return 0; /* C1 control characters */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90)) return 0; /* overlong */
    if ((s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0; /* no character */
    return n;
}

/* Names and paths come from outside: what could break a line of a log becomes '?'. */
static void text_clean(char *text)
{
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        size_t n = character_length(s);
        if (!n) *s = '?';
        s += n ? n : 1;
    }
}

bool text_is_clean(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t n = character_length(s);
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
