/* What went less than well at start but does not keep the daemon from running; shown in the
 * status. */
#ifndef BASE_NOTES_H
#define BASE_NOTES_H

#include <stddef.h>

#define NOTES_MAX 32
#define NOTES_TEXT 256

struct notes {
    size_t n;
    char text[NOTES_MAX][NOTES_TEXT];
};

/* Also written to stderr. Beyond NOTES_MAX only there. */
void notes_add(struct notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
