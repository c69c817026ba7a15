/* The last bins that were later than their budget: when each was where. For people: nothing of it
 * is carried from entry to entry, and no frame depends on it. One thread notes (the line's), any
 * reads. */
#ifndef LINE_LATE_H
#define LINE_LATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/trail.h"

#define LATE_MAX 512 /* bins of which the newest are still there */

/* From when on the time of a late bin was counted. */
enum late_since {
    LATE_SINCE_END,       /* of the bin, by this machine's clock */
    LATE_SINCE_ESTIMATED, /* end of the bin, by the estimate of its source's clock */
    LATE_SINCE_PACE,      /* when it would have come at the pace of its source */
    LATE_SINCE_ARRIVAL,   /* the wake that found it: nothing is known of before */
    LATE_N_SINCE,
};

/* Times by CLOCK_MONOTONIC, but for t_source_ns. */
struct late_bin {
    uint64_t epoch, seq;
    uint64_t t_source_ns;  /* as sent; 0: not */
    uint64_t t_since_ns;   /* what its budget counts from: enum late_since */
    uint64_t t_recv_ns;    /* the wake that found its message; one that found many is before some */
    uint64_t t_start_ns;   /* of its step */
    uint64_t t_publish_ns; /* what its budget counts to; the step is done */
    uint64_t t_done_ns;    /* the sink has, or refused, its frame */
    uint64_t budget_ns;    /* in force then */
    uint64_t n_before;     /* bins of its stream decoded before it, of the same wake */
    uint32_t flags;        /* enum latent_flag */
    uint32_t outcome;      /* of its frame, enum counter */
    enum late_since since;
};

struct bin_frame;
struct line;

struct late {
    struct trail bins;
    uint64_t t_wake_ns, n_of_wake; /* the bins that it brought so far */
};

/* "end", "estimated end", "pace", "arrival" */
const char *late_since_name(enum late_since since);
int late_open(struct late *l); /* 0 or -1: out of memory */
void late_close(struct late *l);
/* Every bin that is decoded, with its frame judged and done. */
void late_on_decoded(struct line *line, const struct bin_frame *b);
/* Late bin number i of the line, from 0. false: there is none, or it was written over. */
bool late_read(struct late *l, uint64_t i, struct late_bin *out);

#endif
