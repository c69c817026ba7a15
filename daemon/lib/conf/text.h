/* The table of keys as text: the configuration in force, the help, the manual page. */
#ifndef CONF_TEXT_H
#define CONF_TEXT_H

#include <stdio.h>

#include "conf/conf.h"

/* Every key of every section with its value; can be read back. */
void conf_print(const struct conf *c, FILE *out);
/* The same of one stream. */
void conf_print_stream(const struct conf *c, const struct conf_stream_section *s, FILE *out);
/* For a terminal. */
void conf_print_help(FILE *out);
/* latentd(5), as troff. */
void conf_print_man(FILE *out);

#endif
