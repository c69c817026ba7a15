/* A configuration file, read and checked. */
#ifndef CONF_READ_H
#define CONF_READ_H

#include "conf/conf.h"

/* Read and check a file. 0, or -1 when there are problems. conf_free is due in both cases. */
int conf_read(struct conf *c, const char *path);
/* From the text in a record; path names it in problems. It was in force once: each value is
 * checked, but not anew whether they fit each other, which later versions see more strictly. */
int conf_read_text(struct conf *c, const char *path, const char *text);

#endif
