/* The known word that a mistyped one most likely meant. */
#ifndef BASE_WORDS_H
#define BASE_WORDS_H

#include <stddef.h>

/* Insertions, deletions and exchanges of letters between a and b. */
size_t word_distance(const char *a, const char *b);
/* The nearest of a NULL-terminated list, or NULL when none is near enough to be meant. */
const char *word_nearest(const char *word, const char *const *known);

#endif
