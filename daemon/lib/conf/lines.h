/* The lines of a configuration file, one by one into a struct conf. */
#ifndef CONF_LINES_H
#define CONF_LINES_H

#include <stdio.h>

#include "conf/conf.h"

#define CONF_MAX_LINE 1000 /* bytes; longer lines are refused */

/* Read a file, opened and closed by the caller, into c. Mistakes become problems and reading goes
 * on. false: the file could not be read. */
bool conf_lines_read(struct conf *c, FILE *file);

#endif
