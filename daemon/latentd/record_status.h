/* How the record of a stream is, as protobuf-c wants it. */
#ifndef LATENTD_RECORD_STATUS_H
#define LATENTD_RECORD_STATUS_H

#include "latent.pb-c.h"
#include "latentd/stream.h"

#define RECORD_STATUS_COUNTS 11

/* A message with the memory that it points to. */
struct record_status {
    Latent__V1__RecordStatus message;
    struct recorder_status recorder;
    Latent__V1__Counter counter[RECORD_STATUS_COUNTS];
    Latent__V1__Counter *counters[RECORD_STATUS_COUNTS];
};

/* NULL: the stream has no record. */
Latent__V1__RecordStatus *record_status_fill(struct record_status *b, const struct stream *s);

#endif
