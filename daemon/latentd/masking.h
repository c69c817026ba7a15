/* Which channels of a stream are masked, as the control thread ordered it last. */
#ifndef LATENTD_MASKING_H
#define LATENTD_MASKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/table.h"
#include "latent.h"

struct masking {
    uint8_t *bits; /* [channels_bytes(n_channels)], as of LINE_MASK */
    uint32_t n_channels, version;
    uint32_t most;    /* more are SAFE */
    bool is_possible; /* the model file says what a masked channel reads as */
};

/* Mask in the decoder what the configuration says: version 1, or 0 and none. 0, or negative and why
 * [n_why]: not a list of its channels, or it cannot mask. */
int masking_open(struct masking *m, const struct latent_info *info, const struct conf_stream *v,
                 latent_decoder *d, char *why, size_t n_why);
void masking_close(struct masking *m);
/* The mask that a change makes of the present one, the caller's to free; lists of channels, ""
 * for none. NULL and why. */
uint8_t *masking_change(const struct masking *m, const char *mask, const char *unmask, char *why,
                        size_t n_why);
/* That of the configuration, whatever was masked until now: a list, or NULL for none. As above. */
uint8_t *masking_anew(const struct masking *m, const char *list, char *why, size_t n_why);
/* More than this percentage of the channels is SAFE. */
void masking_limit(struct masking *m, uint32_t max_masked);
/* bits were ordered, as the next version. */
void masking_ordered(struct masking *m, const uint8_t *bits);
/* What a stream is with them: "decoded without 3 of 96 channels: 3,17,40". */
void masking_words(const struct masking *m, const uint8_t *bits, char *words, size_t n);

#endif
