/* Lower case, as sha256sum writes them. */
#include "record/hex.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void hex_of_id(char *text, uint64_t id)
{
    snprintf(text, HEX_ID_BYTES, "%016" PRIx64, id);
}

void hex_of_sha256(char *text, const uint8_t *sha256)
{
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", sha256[i]);
}

static bool read_digits(const char *text, size_t n, uint8_t *bytes)
{
    static const char digits[] = "0123456789abcdef";

    if (!text || strlen(text) != 2 * n) return false;
    for (size_t i = 0; i < 2 * n; i++) {
        const char *digit = strchr(digits, text[i]);

        if (!digit) return false;
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (digit - digits));
    }
    return true;
}

bool hex_to_id(const char *text, uint64_t *id)
{
    uint8_t bytes[8] = {0};
    bool good = read_digits(text, sizeof bytes, bytes);

    *id = 0;
    for (size_t i = 0; i < sizeof bytes; i++) *id = *id << 8 | bytes[i];
    return good;
}

bool hex_to_sha256(const char *text, uint8_t *sha256)
{
    memset(sha256, 0, 32);
    return read_digits(text, 32, sha256);
}
