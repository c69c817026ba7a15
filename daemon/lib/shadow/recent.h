/* What the decoder of a line was told to do, bin by bin, and what the line showed of it: the newest
 * RECENT_KEPT steps and some more, kept by a tap of the line from the start on.
 *
 * The tap belongs to the data thread, obeys the real-time rule of line.h and never waits. Any other
 * thread reads the steps by their numbers, which count up from 0; one that is too slow finds that
 * its step was written over. */
#ifndef SHADOW_RECENT_H
#define SHADOW_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "line/line.h"

#define RECENT_KEPT 512 /* that a new decoder is primed with */
#define RECENT_AHEAD 64 /* and so many that may come while a reader is busy */

struct recent;

enum recent_answer {
    RECENT_THERE,
    RECENT_NOT_YET,
    RECENT_LOST, /* written over */
};

/* A step as a reader has it. */
struct recent_step {
    enum line_action action; /* LINE_START, or one that steps the decoder */
    uint32_t marks;
    uint64_t epoch, seq;
    bool has_input, has_frame;
    bool is_late;   /* the frame left with LATE, or did not leave for it */
    bool failed;    /* the line's output was not finite, and its decoder was reset after it */
    uint32_t flags; /* of its frame */
    float *counts;  /* [n_channels], the reader's: filled if has_input */
    float *readout; /* [n_readout], likewise, if has_frame and n_shown */
    uint32_t n_shown;
    uint8_t *mask; /* [(n_channels + 7) / 8], the reader's: latent_decoder_mask's */
    uint32_t mask_version;
};

/* For a line of n_channels and n_readout, before it runs. Fewer steps are kept where they would
 * take more than 32 MiB. NULL: out of memory. */
struct recent *recent_new(uint32_t n_channels, uint32_t n_readout);
void recent_free(struct recent *r); /* NULL is allowed */
/* The channels that are masked from the start, as recent_step has them; later ones it hears. */
void recent_mask(struct recent *r, const uint8_t *bits, uint32_t version);
struct line_tap recent_tap(struct recent *r);
/* Of the steps that are kept, those that a reader may begin with; at most RECENT_KEPT. */
uint64_t recent_depth(const struct recent *r);
/* How many steps there were: the number of the next. */
uint64_t recent_count(const struct recent *r);
/* Step `number` into out, whose counts, readout and mask point to room for
 * them. */
enum recent_answer recent_read(struct recent *r, uint64_t number, struct recent_step *out);

#endif
