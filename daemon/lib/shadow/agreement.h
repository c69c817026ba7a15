/* How far two sets of readouts agree over the last seconds: sums in double precision over parts of
 * a window, in fixed memory. One thread. */
#ifndef SHADOW_AGREEMENT_H
#define SHADOW_AGREEMENT_H

#include <stdint.h>

struct agreement;

struct agreement_summary {
    uint64_t n;         /* bins that were compared */
    double rms;         /* root of the mean squared difference, units of the readout */
    double correlation; /* NaN: one of the two did not change, or n is less than 2 */
};

/* Over the last window_bins (9/10 of it at least, once it has filled), n_readout each. NULL: out of
 * memory. */
struct agreement *agreement_new(uint64_t window_bins, uint32_t n_readout);
void agreement_free(struct agreement *a); /* NULL is allowed */
void agreement_clear(struct agreement *a);
/* One bin, of which there is something to compare (a and b [n_readout]) or not (NULL). */
void agreement_add(struct agreement *a, const float *ours, const float *theirs);
void agreement_read(const struct agreement *a, uint32_t readout, struct agreement_summary *out);

#endif
