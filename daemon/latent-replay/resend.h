/* A record of latentd as a source: its messages, as they came. */
#ifndef REPLAY_RESEND_H
#define REPLAY_RESEND_H

#include "latent.h"
#include "source/source.h"

/* Runs to the end of the record or a signal; prints how many messages were sent. n_channels and
 * bin_width_us of the options are filled in. */
int resend_run(const char *record, const struct source_options *options, struct latent_error *err);

#endif
