/* Texts that quote what came from outside, made safe for a terminal and for a log. */
#ifndef TOOL_PRINTABLE_H
#define TOOL_PRINTABLE_H

/* Control characters (of ASCII, and C1 in UTF-8) become '?': what a peer or a file
 * sends must neither move a cursor nor forge a line. In place; returns text. */
char *printable(char *text);

#endif
