/* Reading a configuration: its lines, then whether they fit each other. */
#include "conf/read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/check.h"
#include "conf/lines.h"

/* file NULL: what was to be read could not be opened. */
static int read_and_check(struct conf *c, FILE *file)
{
    if (!file)
        conf_problem(c, 0, NULL, "cannot open: %s", strerror(errno));
    else if (conf_lines_read(c, file))
        conf_check(c);
    if (file) fclose(file);
    return c->n_problems ? -1 : 0;
}

int conf_read(struct conf *c, const char *path)
{
    conf_init(c, path);
    return read_and_check(c, fopen(path, "r"));
}

int conf_read_text(struct conf *c, const char *path, const char *text)
{
    conf_init(c, path);
    return read_and_check(c, fmemopen((void *)(uintptr_t)text, strlen(text), "r"));
}
