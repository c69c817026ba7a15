/* A configuration file, read and checked. */
#ifndef CONF_READ_H
#define CONF_READ_H

#include "conf/conf.h"

/* Read and check a file. 0, or -1 when there are problems. conf_free is due in both cases. */
int conf_read(struct conf *c, const char *path);
/* The same from a text; path names it in problems, and its folder is where relative paths start. */
int conf_read_text(struct conf *c, const char *path, const char *text);

#endif
