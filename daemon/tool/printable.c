/* Control characters out of texts. */
#include "tool/printable.h"

#include <stdbool.h>

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
