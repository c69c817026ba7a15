/* Late bins, explained, as the message that says so. */
#ifndef LATENTD_WHY_REPLY_H
#define LATENTD_WHY_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "latent.pb-c.h"
#include "latentd/lateness.h"

struct why_reply {
    Latent__V1__Why message; /* into what follows */
    struct lateness_seen seen;
    Latent__V1__LateBin bin[LATENESS_KEPT];
    Latent__V1__LateBin *bins[LATENESS_KEPT];
    Latent__V1__Wait wait[LATENESS_KEPT][WHY_MAX_WAITS];
    Latent__V1__Wait *waits[LATENESS_KEPT][WHY_MAX_WAITS];
};

/* What is kept of stream number i; NULL: out of memory. name must last. */
struct why_reply *why_reply_new(struct lateness *l, size_t i, const char *name);
/* Leave all out but the newest bin of this number. false: it is not there. */
bool why_reply_only(struct why_reply *w, uint64_t seq);
void why_reply_free(struct why_reply *w); /* NULL is allowed */

#endif
