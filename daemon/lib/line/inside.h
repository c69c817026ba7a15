/* Inside of the line: what its parts share. Not for others; they see line.h. */
#ifndef LINE_INSIDE_H
#define LINE_INSIDE_H

#include <stdatomic.h>

#include "line/late.h"
#include "line/line.h"
#include "line/misfit.h"
#include "line/pace.h"
#include "line/safe.h"
#include "line/seat.h"
#include "line/source_clock.h"
#include "wire.h"

#define LINE_NEVER UINT64_MAX

/* Waiting for bins. */
struct silence {
    bool heard;            /* a bin of the stream has come */
    uint64_t t_decoded_ns; /* arrival of the last decoded bin */
    uint64_t t_due_ns;     /* of the next frame without a bin; LINE_NEVER: none */
};

/* The frame that was published last; its values are in line.shown_... */
struct shown {
    uint64_t t_ns; /* t_publish; 0: none yet */
    uint32_t flags, n_latents, n_rates;
};

/* The way of the readout away from neutral, after SAFE, expiry, warm-up or a reset. */
struct eased {
    bool leaving;  /* it is not at its end */
    uint64_t t_ns; /* publication time of it so far */
};

/* When, on this machine's clock, the bin decoded last had ended. */
struct ended {
    bool is_known;
    uint64_t seq, t_here_ns;
};

/* All that is carried from entry to entry, beside the decoder's own state. A field more is a field
 * more in snapshot.c. */
struct line_memory {
    struct sequence sequence;
    struct trust trust;
    struct safe safe;
    struct silence silence;
    struct shown shown;
    struct pace pace;
    struct eased eased;
    struct source_clock source_clock;
    struct ended ended;
    uint64_t n_still; /* decoded bins, to the last, that equal each other */
    uint64_t pub_seq;
    bool easing;     /* contract 1: consumers saw other readouts than the decoder's */
    bool is_swapped; /* consumers have no frame of this decoder yet */
};

/* The message whose bins wait for their steps. Not carried in snapshots: those are taken where
 * none is open. */
struct open_message {
    struct wire_bins bins; /* in the arena */
    uint64_t t_recv_ns;
    size_t next; /* bin; bins.n_bins: the message is done */
    /* Of whom, found at its first bin whose shape is right. */
    bool is_placed;
    enum trust_verdict trust;
    bool is_timed, is_exact; /* its time was looked at, at its first decoded bin; and is ours */
    /* Of bin `next`, once it is found fit for the decoder; its counts are in line.counts. */
    bool is_judged;
    struct sequence_verdict verdict;
    uint64_t n_fill; /* frames still to be made before it */
};

struct line {
    struct line_decoder *seat;  /* in use; of it: */
    struct line_decoder *first; /* the line's own */
    latent_decoder *decoder;
    struct line_options options;
    struct line_clock clock;
    struct line_sink sink;
    struct line_tap taps[LINE_MAX_TAPS];
    size_t n_taps;
    char topic[WIRE_TOPIC_BYTES];
    uint32_t n_channels, n_latents, n_rates, n_readout, bin_width_us;
    uint64_t bin_ns, decoder_id;
    _Atomic size_t n_bytes; /* of a snapshot */

    /* Not of the state: what others ask. */
    uint64_t n_steps;          /* of the decoders */
    _Atomic uint64_t n_failed; /* their outputs that were not finite */
    bool is_in_trial;          /* by the marks of what was decoded */

    struct line_memory state;
    struct open_message open;
    struct ledger ledger;
    struct misfits misfits;
    struct sources sources;
    struct latest latest;
    struct late late;
    struct source_clock_told source_told;
    struct trust_rules trust;
    struct histogram times[TIME_SPARE]; /* spare follows from latency */

    struct {
        uint64_t silence_bins, repeat_bins; /* in a row that are too many */
        uint64_t safe_bins;                 /* beyond them, that begin SAFE */
    } still;

    uint32_t input; /* enum latent_input: what a bin may hold */
    size_t max_payload, n_buffer;
    struct wire_arena arena;             /* one unpacked message */
    float *counts;                       /* [C] of the bin that came */
    float *zeros;                        /* [C] */
    const float *mean;                   /* [C], the model's, or NULL */
    float *neutral;                      /* [O] */
    float *readout;                      /* [O] on its way out */
    uint8_t *mask;                       /* [line_mask_bytes] on its way to another decoder */
    uint8_t *buffer;                     /* one packed frame */
    const struct latent_readout *limits; /* [O], the model's */

    /* Part of the state: one block. */
    float *kept; /* [n_kept] */
    size_t n_kept;
    float *read_kept; /* [n_kept] of a snapshot that is being judged */
    float *shown_latents, *shown_rates, *shown_readout; /* [L], [N], [O] */
    float *last_counts;                                 /* [C] decoded last */
};

/* One bin on its way: what it said, and when it was where. */
struct bin_frame {
    struct wire_frame frame;
    uint64_t t_arrived_ns; /* of the message that brought or revealed it; 0: none did */
    uint64_t t_start_ns, t_done_ns;
    uint64_t pace_age_ns; /* at its arrival, at least, by the pace of its source */
    bool is_mapped;       /* it is known when it ended: then that is its age, ... */
    uint64_t t_end_ns;    /* ... on this machine's clock */
    uint64_t moved_ns;    /* publication time that its readout had for its way */
    bool agrees;          /* its readout is the decoder's */
    bool received;        /* a message brought it */
    bool failed;          /* the output was not finite: it has no values */
    bool no_signal;       /* nothing was in it, nor in those before, for too long */
    bool repeats;         /* it has no values of its own: those shown last */
    enum counter outcome; /* of its frame */
};

/* What the clock says; the tap hears it. */
uint64_t line_now(struct line *line);
/* Hand a frame to the sink; the tap hears it, and the answer, which is returned: 0, or
 * negative. */
int line_hand_over(struct line *line, const struct wire_frame *f, size_t n_bytes);
void line_tell(const struct line *line, const struct line_event *event);
void line_tell_action(const struct line *line, enum line_action action, uint64_t epoch,
                      uint64_t seq);
/* One that gives the decoder a bin, which the tap hears; NULL: without input. */
void line_tell_input(const struct line *line, enum line_action action, uint64_t epoch, uint64_t seq,
                     const struct latent_bin *input);
/* Are more channels masked than max-masked allows? */
bool line_is_masked_too_much(const struct line *line);
/* The number of the newest bin that has been stepped over, or filled. */
void line_newest(const struct line *line, uint64_t *epoch, uint64_t *seq);

#endif
