/* The range first, then the slew: the value moves towards what the range allows. */
#include <math.h>

#include "latent.h"

static float clamp(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

/* No slew and no time would be infinity times nothing. */
float latent_readout_limit(const struct latent_readout *r, float y, float from, double dt_s)
{
    float in_range = clamp(y, r->min, r->max);
    if (isinf(r->slew)) return in_range;
    float step = (float)((double)r->slew * dt_s);
    return clamp(in_range, from - step, from + step);
}
