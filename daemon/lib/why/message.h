/* Explained bins, laid out as protobuf-c wants them. */
#ifndef WHY_MESSAGE_H
#define WHY_MESSAGE_H

#include "latent.pb-c.h"
#include "why/explain.h"

struct why_message {
    Latent__V1__Why message; /* into what follows */
    Latent__V1__LateBin *bin;
    Latent__V1__LateBin **bins;
    Latent__V1__Wait *wait;
    Latent__V1__Wait **waits;
};

/* stream and bins [n], oldest first, must last as long as the message. utc_offset_ns: to be added
 * to CLOCK_MONOTONIC. NULL: out of memory. */
struct why_message *why_message_new(const char *stream, const struct why_bin *bins, size_t n,
                                    uint64_t utc_offset_ns);
/* Leave all out but the newest bin of this number. false: it is not there. */
bool why_message_only(struct why_message *m, uint64_t seq);
void why_message_free(struct why_message *m); /* NULL is allowed */

#endif
