/* Edit distance over short words. */
#include "base/words.h"

#include <string.h>

#define MAX_LETTERS 64

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t word_distance(const char *a, const char *b)
{
    size_t n = strnlen(b, MAX_LETTERS - 1);
    size_t row[MAX_LETTERS]; /* distance of the letters of a so far to each beginning of b */

    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; *a != '\0' && i < MAX_LETTERS; i++, a++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (*a != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

const char *word_nearest(const char *word, const char *const *known)
{
    size_t best = 1 + strlen(word) / 2; /* further away is another word */
    const char *nearest = NULL;

    for (; *known; known++) {
        size_t distance = word_distance(word, *known);

        if (distance > best || (nearest && distance == best)) continue;
        best = distance;
        nearest = *known;
    }
    return nearest;
}
