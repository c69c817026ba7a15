/* What no key can tell alone: whether the sections of a configuration fit each other. */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "conf/conf.h"

/* What does not fit becomes a problem of c. */
void conf_check(struct conf *c);

#endif
