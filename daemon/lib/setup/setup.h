/* A decoder and a line as a section of the configuration asks for them: what latentd runs, and what
 * runs its record again. */
#ifndef SETUP_SETUP_H
#define SETUP_SETUP_H

#include "conf/conf.h"
#include "line/line.h"

/* Of values that the model has resolved: mode, precision and outputs are words that it knows.
 * Strings stay the configuration's. */
struct latent_options setup_decoder(const struct conf_stream *v);
struct line_options setup_line(const struct conf_stream_section *section,
                               const struct latent_info *info, uint64_t clock_id);

#endif
