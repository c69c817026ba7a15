/* Inside of the line: what its parts share. Not for others; they see pipeline.h. */
#ifndef LINE_LINE_H
#define LINE_LINE_H

#include "line/pipeline.h"
#include "wire.h"

struct pipeline {
    latent_decoder *decoder;
    struct pipeline_options options;
    struct pipeline_clock clock;
    struct pipeline_sink sink;
    char topic[PIPELINE_MAX_TOPIC];
    uint32_t n_channels, bin_width_us, n_readout;
    uint64_t bin_ns, decoder_id;

    struct sequence sequence;
    uint64_t pub_seq;
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

/* What the clock says. */
uint64_t line_now(struct pipeline *p);

#endif
