/* What no key can tell alone: whether the sections of a configuration fit each other. */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

/* What does not fit becomes a problem of c. */
void conf_check(struct conf *c);
/* The times of a stream, resolved, against each other and its model's bins: SAFE must not begin
 * before the next bin can come, and a frame must be valid until the next one that belongs to it: of
 * a model that gives values every so many bins, until the next that has some.
 * names_valid_for: valid-for-ms was given, so it may be longer than the lease. false: a problem. */
bool conf_check_times(struct conf *c, const struct conf_stream_section *s, uint32_t bin_width_us,
                      uint32_t every_bins, bool names_valid_for);

#endif
