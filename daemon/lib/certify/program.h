/* Other programs of the machine, where they are there. */
#ifndef CERTIFY_PROGRAM_H
#define CERTIFY_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Is there one of this name in the PATH? */
bool program_is_there(const char *name);
/* The first line that it prints. command: its words, NULL at the end. false: there is none, it
 * failed, or it took more than five seconds. */
bool program_ask(const char *const command[], char *line, size_t n_line);

#endif
