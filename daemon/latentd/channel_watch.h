/* Bad channels of a stream: its bins are looked at as the shadows' tap keeps them (shadow/recent),
 * in the control thread, judged (health/bad_channels), told of, and with bad-channels = auto masked
 * by orders like the operator's (health/masker). */
#ifndef LATENTD_CHANNEL_WATCH_H
#define LATENTD_CHANNEL_WATCH_H

#include <stdint.h>

#include "health/bad_channels.h"
#include "health/masker.h"
#include "shadow/recent.h"

struct stream;

struct channel_watch {
    struct stream *stream;
    const char *basis, *why;  /* what it judges by; NULL: nothing, and why */
    uint8_t judged_by[32];    /* SHA-256 of the model file whose training it is */
    struct bad_channels *bad; /* NULL: off, or no basis */
    struct masker masker;
    uint64_t next, n_unseen; /* step that is looked at next; steps that were lost */
    struct recent_step step;
    uint8_t *said_bad, *set, *other; /* sets of channels: as the log has them; scratch */
};

/* With the stream's swap, before its loop runs. 0 or -1: out of memory. channel_watch_close is due
 * in both cases. */
int channel_watch_attach(struct channel_watch *w, struct stream *s);
void channel_watch_close(struct channel_watch *w);
/* Every CHANNELS_PERIOD_MS. */
void channel_watch_look(struct channel_watch *w, uint64_t now_ns);
/* The operator's change was ordered: lists of its channels, "" for none. */
void channel_watch_obey(struct channel_watch *w, const char *mask, const char *unmask);
/* Add to a mask that is to be ordered in place of the one in force what latentd masked itself. */
void channel_watch_keep_own(const struct channel_watch *w, uint8_t *mask);

#endif
