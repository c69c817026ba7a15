/* Small files of /proc and /sys, below a root that tests plant. */
#ifndef CERTIFY_SYSFILE_H
#define CERTIFY_SYSFILE_H

#include <stdbool.h>
#include <stddef.h>

#define SYSFILE_PATH 512

/* The first bytes of ROOT/PATH, zero-terminated, the last line's end cut off. root: "" is the
 * machine itself. Bytes, or -1 when it cannot be read. */
int sysfile_read(const char *root, char *text, size_t n_text, const char *path, ...)
    __attribute__((format(printf, 4, 5)));
/* The whole number that the file begins with. */
bool sysfile_number(const char *root, long long *number, const char *path, ...)
    __attribute__((format(printf, 3, 4)));
/* What follows "KEY" and blanks, colons or "=" at the beginning of a line of a text, up to the end
 * of that line; false when there is no such line. */
bool sysfile_value(const char *text, const char *key, char *value, size_t n_value);
/* Is there a process of this name (as /proc/PID/comm has it)? */
bool sysfile_runs(const char *root, const char *name);

#endif
