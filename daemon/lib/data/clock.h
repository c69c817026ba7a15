/* Times in files: of spikes, of samples of behaviour. */
#ifndef DATA_CLOCK_H
#define DATA_CLOCK_H

#include "data/h5in.h"

/* Ticks a second (1: the times are seconds): `option_hz`, or what the dataset says (clock_hz, or
 * its unit in words), or what the file says. 0 in *hz: nobody says it. */
int clock_find(const struct h5in *in, const char *option, double option_hz, double *hz,
               struct latent_error *err);
/* Times must be finite, not negative, and whole, but for clocks of 1, 1000 and 1000000 Hz: those
 * are seconds, milliseconds and microseconds and may have fractions. */
int clock_check(const struct h5in *in, double hz, const char *option, const double *times, size_t n,
                struct latent_error *err);
/* floor((time - start) / width), where a quotient that is whole but for rounding is whole: a spike
 * at 0.29 s opens bin 29 of 0.01 s. */
double clock_bin(double time, double start, double width);

#endif
