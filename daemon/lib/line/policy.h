/* What a line does when things are not as they should be. The words of the
 * configuration stand in the order of these. */
#ifndef LINE_POLICY_H
#define LINE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* What the decoder gets for a bin that is missing before one that came. */
enum line_on_gap {
    ON_GAP_PREDICT,    /* nothing: its own forecast */
    ON_GAP_ZERO,       /* a bin without spikes */
    ON_GAP_HOLD_INPUT, /* the last counts that came */
    ON_GAP_MEAN,       /* the training mean of each channel */
    ON_GAP_RESET,      /* it starts anew; nothing is filled */
};

/* What is sent for a bin whose step ran over the budget. */
enum line_on_late { ON_LATE_PUBLISH, ON_LATE_HOLD_FRAME, ON_LATE_SKIP, ON_LATE_SAFE };

/* What is sent, once a bin period, while no bin comes. */
enum line_on_missing {
    ON_MISSING_HOLD_FRAME,
    ON_MISSING_PREDICT,
    ON_MISSING_SAFE,
    ON_MISSING_SKIP, /* nothing, until the lease is over */
};

/* What is sent when bins come, but for too long with nothing in them (still.h). */
enum line_on_silent {
    ON_SILENT_SAFE, /* their frames, with NO_SIGNAL; after another lease SAFE */
    ON_SILENT_FLAG, /* their frames, with NO_SIGNAL */
    ON_SILENT_OFF,  /* nobody looks: for records made before anybody did */
};

/* How the time that a source tells becomes time of this machine (source_clock.h). */
enum line_source_clock {
    SOURCE_CLOCK_OFF,       /* not at all: for records made before it did */
    SOURCE_CLOCK_AUTO,      /* as the message claims (Bins.clock_id), else estimated */
    SOURCE_CLOCK_MONOTONIC, /* it is this machine's CLOCK_MONOTONIC, whatever the message says */
};

struct line_policy {
    enum line_on_gap on_gap;
    enum line_on_late on_late;
    enum line_on_missing on_missing;
    enum line_on_silent on_silent;
    uint64_t missing_after_ns; /* without a bin: on_missing begins; 0: never */
    uint64_t lease_ns;         /* without a decoded bin: the readout is neutral; 0: never */
    uint64_t max_age_ns;       /* arrival to publication, above it suppressed; 0: never */
    uint64_t safe_ramp_ns;     /* from the last readout to neutral */
    uint32_t safe_exit_bins;   /* good bins in a row that end SAFE; 0: the operator does */
    bool safe_start;           /* a stream with a readout begins in SAFE */
    uint32_t max_masked;       /* percent of the channels: when more are masked, SAFE */
};

#endif
