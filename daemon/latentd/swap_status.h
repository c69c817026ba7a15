/* What is beside the decoder in use, as the status message says it. */
#ifndef LATENTD_SWAP_STATUS_H
#define LATENTD_SWAP_STATUS_H

#include "latent.pb-c.h"
#include "latentd/swap.h"

#define SWAP_STATUS_COUNTS 9

/* Memory that the message points into; stays with it. */
struct swap_status {
    Latent__V1__SwapStatus message;
    char newest[SWAP_TEXT];
    struct shadow_status shadow;
    Latent__V1__Counter count[SWAP_STATUS_COUNTS], *counts[SWAP_STATUS_COUNTS];
    Latent__V1__Histogram step;
    Latent__V1__Agreement agreement[SHADOW_MAX_READOUT], *agreements[SHADOW_MAX_READOUT];
};

/* NULL: nothing was ever loaded beside it. */
Latent__V1__SwapStatus *swap_status_fill(struct swap_status *b, struct swap *w, uint64_t now_ns);

#endif
