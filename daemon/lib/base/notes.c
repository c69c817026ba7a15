/* Notes are kept and printed once. */
#include "base/notes.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/text.h"

void notes_add(struct notes *notes, const char *format, ...)
{
    char text[NOTES_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printable(text);
    log_say(LOG_LEVEL_NOTE, "%s", text);
    if (notes->n == NOTES_MAX) return;
    snprintf(notes->text[notes->n++], NOTES_TEXT, "%s", text);
}
