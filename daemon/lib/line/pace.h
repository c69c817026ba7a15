/* How old a bin must be when it arrives, without a clock of its source: bins are made at a steady
 * pace, so one that comes later after the others than its number says has waited. Pure functions of
 * state and arguments. */
#ifndef LINE_PACE_H
#define LINE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_LEAST_BINS 4
#define PACE_MOST_BINS 64

/* With e = arrival - number x bin, the pace is the least e of the newest bins that arrived over at
 * least their own duration. Bins that come faster may have waited: they only make it earlier. Times
 * and e are modulo 2^64. */
struct pace {
    bool is_known;
    uint64_t least_ns;
    uint32_t n; /* bins since the start, at most PACE_MOST_BINS; the newest of them: */
    uint32_t at;
    uint64_t e_ns[PACE_MOST_BINS], t_ns[PACE_MOST_BINS];
};

/* Of a source that starts. */
void pace_init(struct pace *p);
/* A bin arrives; -> its age, at least. The pace is that of n_bins, which is held within the bounds
 * above. */
uint64_t pace_on_bin(struct pace *p, uint64_t seq, uint64_t t_arrived_ns, uint64_t bin_ns,
                     uint32_t n_bins);

#endif
