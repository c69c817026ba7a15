/* Inside of the line: what its parts share. Not for others; they see pipeline.h. */
#ifndef LINE_LINE_H
#define LINE_LINE_H

#include "line/pipeline.h"
#include "wire.h"

/* All that is carried from entry to entry, beside the decoder's own state; without
 * pointers, so that a snapshot is a copy. */
struct line_state {
    struct sequence sequence;
    uint64_t pub_seq;
};

struct pipeline {
    latent_decoder *decoder;
    struct pipeline_options options;
    struct pipeline_clock clock;
    struct pipeline_sink sink;
    struct line_tap tap;
    char topic[PIPELINE_MAX_TOPIC];
    uint32_t n_channels, bin_width_us, n_readout;
    uint64_t bin_ns, decoder_id;

    struct line_state state;
    struct ledger ledger;
    struct histogram times[TIME_SPARE]; /* spare follows from latency */

    size_t max_payload, n_buffer;
    struct wire_arena arena; /* one unpacked message */
    float *counts;           /* [C] */
    float *neutral;          /* [O] */
    uint8_t *buffer;         /* one packed frame */
};

/* One bin on its way: what it said, and when it was where. */
struct passage {
    struct wire_frame frame;
    uint64_t t_start_ns, t_done_ns;
    bool received; /* a message brought it */
    int sent;      /* the sink's answer */
};

/* What the clock says; the tap hears it. */
uint64_t line_now(struct pipeline *p);
/* Hand a frame to the sink; the tap hears it, and the answer, which is returned: 0, or
 * negative. */
int line_hand_over(struct pipeline *p, const struct wire_frame *f, size_t n_bytes);
void line_tell(const struct pipeline *p, const struct line_event *event);

#endif
