/* Sending a recording as a stream of bins. */
#ifndef REPLAY_REPLAY_H
#define REPLAY_REPLAY_H

#include "data/recording.h"
#include "latent.h"
#include "source/source.h"

struct replay_options {
    struct source_options source; /* n_channels and bin_width_us are filled in */
    bool loop;                    /* begin again at the end, seq goes on */
    bool mark_loop;               /* every round opens with trial_start */
    double seconds;               /* of signal to send, rounds included; 0: no limit */
};

/* Runs to the end, a limit or a signal; prints how many bins were sent. */
int replay_run(struct reader *reader, const struct replay_options *options,
               struct latent_error *err);

#endif
