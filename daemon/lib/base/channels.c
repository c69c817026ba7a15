/* Lists of channels, read and written. */
#include "base/channels.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t channels_bytes(size_t n_channels)
{
    return (n_channels + 7) / 8;
}

bool channels_has(const uint8_t *set, size_t channel)
{
    return set[channel / 8] >> channel % 8 & 1u;
}

void channels_set(uint8_t *set, size_t channel, bool is_in)
{
    uint8_t bit = (uint8_t)(1u << channel % 8);

    set[channel / 8] = is_in ? set[channel / 8] | bit : set[channel / 8] & (uint8_t)~bit;
}

size_t channels_count(const uint8_t *set, size_t n_channels)
{
    size_t n = 0;

    for (size_t c = 0; c < n_channels; c++) n += channels_has(set, c);
    return n;
}

/* ---- reading ---- */

/* A number of at most seven digits, and what follows; NULL: none. */
static const char *read_number(const char *at, size_t *number)
{
    char *end;

    while (*at == ' ') at++;
    if (!isdigit((unsigned char)*at) || strspn(at, "0123456789") > 7) return NULL;
    *number = strtoul(at, &end, 10);
    while (*end == ' ') end++;
    return end;
}

/* "17" or "40-43"; what follows, or NULL. */
static const char *read_range(const char *at, size_t *first, size_t *last)
{
    at = read_number(at, first);
    *last = *first;
    if (at && *at == '-') at = read_number(at + 1, last);
    return at && *first <= *last ? at : NULL;
}

bool channels_read(const char *list, bool is_in, uint8_t *set, size_t n_channels, char *why,
                   size_t n_why)
{
    const char *at = list;
    size_t first = 0, last = 0;

    for (;; at++) {
        at = read_range(at, &first, &last);
        if (!at || (*at && *at != ',')) {
            snprintf(why, n_why, "expected channels like 3,17,40-43, found '%.40s'", list);
            return false;
        }
        if (last >= n_channels) {
            snprintf(why, n_why, "channel %zu: there are 0 to %zu", last, n_channels - 1);
            return false;
        }
        for (size_t c = first; c <= last; c++) channels_set(set, c, is_in);
        if (!*at) return true;
    }
}

/* ---- writing ---- */

void channels_write(const uint8_t *set, size_t n_channels, char *list, size_t n)
{
    size_t used = 0;

    snprintf(list, n, "none");
    for (size_t c = 0, end; c < n_channels; c = end) {
        char range[48];
        int length;

        for (end = c; end < n_channels && channels_has(set, end);) end++;
        if (end == c) {
            end++;
            continue;
        }
        length = end - c > 1
                     ? snprintf(range, sizeof range, "%s%zu-%zu", used ? "," : "", c, end - 1)
                     : snprintf(range, sizeof range, "%s%zu", used ? "," : "", c);
        if (used + (size_t)length + sizeof " ..." > n) {
            snprintf(list + used, n - used, " ...");
            return;
        }
        memcpy(list + used, range, (size_t)length + 1);
        used += (size_t)length;
    }
}
