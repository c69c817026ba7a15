/* What a precision costs: two decodings of the same bins, side by side. */
#ifndef DECODE_COMPARE_H
#define DECODE_COMPARE_H

#include <stddef.h>

#include "latent.h"

struct comparison;

/* The outputs of n bins: rates [n, N] in Hz and readout [n, O], as results_rows have them. */
struct compared {
    const float *rates, *readout;
};

/* info must outlive it. NULL: out of memory. */
struct comparison *comparison_new(const struct latent_info *info);
void comparison_free(struct comparison *c); /* NULL is allowed */
/* n bins more: counts [n, C], found in the precision in question, against the other. */
void comparison_add(struct comparison *c, size_t n, const float *counts, struct compared found,
                    struct compared against);
/* Bits per spike lost; rates are scored on the channels they belong to, in order. NAN without rates
 * or without spikes. */
double comparison_loss(const struct comparison *c);
/* A few lines on standard output. */
void comparison_print(const struct comparison *c, const char *precision, const char *against);

#endif
