/* Limits first, then slew: the value moves towards the limited target by at most slew x bin. */
#include "decode/readout.h"

static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

uint32_t readout_limit(float *y, float *last, const struct latent_readout *spec, size_t n,
                       double bin_s)
{
    uint32_t flags = 0;
    for (size_t i = 0; i < n; i++) {
        float step = (float)((double)spec[i].slew * bin_s);
        float limited = clamp(y[i], spec[i].min, spec[i].max);
        limited = clamp(limited, last[i] - step, last[i] + step);
        if (limited < y[i] || limited > y[i]) flags = LATENT_LIMITED;
        y[i] = last[i] = limited;
    }
    return flags;
}

void readout_neutral(float *y, float *last, const struct latent_readout *spec, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = last[i] = spec[i].neutral;
}
