/* What core and daemon would otherwise both write: whole numbers as bytes, characters of UTF-8. Not
 * installed, and no part of the library's interface. */
#ifndef LATENT_BYTES_H
#define LATENT_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* The lowest `width` bytes of a value, little end first, to to[width]. */
static inline void bytes_from_whole(unsigned char *to, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++) to[i] = (unsigned char)(value >> 8 * i);
}

static inline uint64_t bytes_to_whole(const unsigned char *from, size_t width)
{
    uint64_t value = 0;

    for (size_t i = 0; i < width; i++) value |= (uint64_t)from[i] << 8 * i;
    return value;
}

/* Bytes of the UTF-8 character at s (NUL-terminated), 1 to 4; 0: malformed, or a control character
 * of ASCII or C1, which a terminal might obey. */
static inline size_t bytes_of_character(const unsigned char *s)
{
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

    if (s[0] < 0x80) return s[0] >= 0x20 && s[0] != 0x7f;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if (s[0] == 0xc2 && s[1] < 0xa0) return 0; /* C1 control characters */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90)) return 0; /* overlong */
    if ((s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0; /* no character */
    return n;
}

#endif
