/* Texts that may quote what came from outside. */
#include "base/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of the UTF-8 character at s; 0: malformed, or a control character of ASCII or C1. */
static size_t character_bytes(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0x20, 0xa0, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t code = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));

    if ((s[0] >= 0x80 && s[0] < 0xc2) || s[0] > 0xf4) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    if (code < least[n] || code == 0x7f || code > 0x10ffff) return 0;
    return code >= 0xd800 && code <= 0xdfff ? 0 : n;
}

char *printable(char *text)
{
    unsigned char *at = (unsigned char *)text;

    while (*at) {
        size_t n = character_bytes(at);

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
