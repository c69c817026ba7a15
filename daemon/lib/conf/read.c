/* Reading a configuration: its lines, then whether they fit each other. */
#include "conf/read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/check.h"
#include "conf/lines.h"

#define MOST_BYTES (1u << 20) /* of a configuration: a device goes on for ever */

/* Opening a pipe waits for its writer, who may never come. */
static bool is_pipe(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISFIFO(s.st_mode);
}

/* The whole of a file, as another one in memory. NULL: c has been told. */
static FILE *read_whole(struct conf *c, const char *path, char **text)
{
    FILE *file = fopen(path, "re"), *whole = NULL;
    size_t n = 0;

    *text = malloc(MOST_BYTES + 1);
    if (file && *text) n = fread(*text, 1, MOST_BYTES + 1, file);
    if (!file || !*text || ferror(file))
        conf_problem(c, 0, NULL, "cannot %s: %s", file ? "read" : "open", strerror(errno));
    else if (n > MOST_BYTES)
        conf_problem(c, 0, NULL, "expected at most %u bytes, found more: not a configuration",
                     MOST_BYTES);
    else
        whole = n ? fmemopen(*text, n, "r") : fopen("/dev/null", "re");
    if (file) fclose(file);
    return whole;
}

/* file NULL: what was to be read could not be opened. */
static int read_lines(struct conf *c, FILE *file, bool is_checked)
{
    if (!file)
        conf_problem(c, 0, NULL, "cannot open: %s", strerror(errno));
    else if (conf_lines_read(c, file) && is_checked)
        conf_check(c);
    if (file) fclose(file);
    return c->n_problems ? -1 : 0;
}

int conf_read(struct conf *c, const char *path)
{
    char *text;
    FILE *file;
    int status = -1;

    conf_init(c, path);
    if (is_pipe(path)) {
        conf_problem(c, 0, NULL, "expected a file, found a pipe");
        return -1;
    }
    file = read_whole(c, path, &text);
    if (file) status = read_lines(c, file, true);
    free(text);
    return status;
}

int conf_read_text(struct conf *c, const char *path, const char *text)
{
    conf_init(c, path);
    return read_lines(c, fmemopen((void *)(uintptr_t)text, strlen(text), "r"), false);
}
