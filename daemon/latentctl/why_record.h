/* Late bins of a record. */
#ifndef LATENTCTL_WHY_RECORD_H
#define LATENTCTL_WHY_RECORD_H

#include <stdbool.h>

#include "latent.h"

#define WHY_RECORD_SHOWN 128 /* of all late bins, the last */

/* What is asked of a record. */
struct why_record_wish {
    const char *record, *stream;
    bool has_bin;
    uint64_t bin; /* the newest late one of this number */
    bool json;
};

/* Print them, from what latentd told while it recorded, or else from the times of the stream's own
 * entries; what is then not known is said. 0, or negative and a text. */
int why_record_show(const struct why_record_wish *wish, struct latent_error *err);

#endif
