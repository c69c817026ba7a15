/* Which channels of a stream are masked, as protobuf-c wants it. */
#ifndef LATENTD_MASKING_STATUS_H
#define LATENTD_MASKING_STATUS_H

#include "latent.pb-c.h"
#include "latentd/stream.h"

#define MASKING_LIST 200

/* A message with the memory that it points to. */
struct masking_status {
    Latent__V1__Masking message;
    char list[MASKING_LIST], proposed[MASKING_LIST], judged_by[MASKING_LIST];
    Latent__V1__Channel *channel;   /* [n_channels], or NULL */
    Latent__V1__Channel **channels; /* the same */
};

/* The whole of it, without the channels one by one. */
Latent__V1__Masking *masking_status_fill(struct masking_status *b, const struct stream *s);
/* Add those. 0 or -1: out of memory. */
int masking_status_add(struct masking_status *b, const struct stream *s);
void masking_status_free(struct masking_status *b);

#endif
