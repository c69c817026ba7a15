/* The ramp takes a fixed time from wherever the readout is: the farthest decides. */
#include "latentd/ramp.h"

#include <math.h>

static double farthest(const struct latent_readout *r)
{
    double low = (double)r->neutral - (double)r->min, high = (double)r->max - (double)r->neutral;

    return low > high ? low : high;
}

static void warn_of(const struct stream *s, const struct latent_readout *r, FILE *out)
{
    const char *stream = s->conf->name;
    double ramp_s = (double)s->conf->values.safe_ramp_ns / 1e9, way = farthest(r);

    if (ramp_s <= 0.0)
        fprintf(out,
                "warning: stream %s: SAFE takes %s to %g %s at once (safe-ramp-ms = none); its "
                "slew is %g per second\n",
                stream, r->name, (double)r->neutral, r->unit, (double)r->slew);
    else if (isinf(way))
        fprintf(out,
                "warning: stream %s: %s has a slew (%g %s per second) but no limits: from far "
                "away SAFE takes it to %g faster, within %g ms (safe-ramp-ms)\n",
                stream, r->name, (double)r->slew, r->unit, (double)r->neutral, 1e3 * ramp_s);
    else if (way / ramp_s > (double)r->slew)
        fprintf(out,
                "warning: stream %s: SAFE takes %s over up to %g %s in %g ms (safe-ramp-ms), %g "
                "per second; its slew is %g. A longer ramp, or in the model file \"safe\": "
                "\"hold\", for what must not move so fast\n",
                stream, r->name, way, r->unit, 1e3 * ramp_s, way / ramp_s, (double)r->slew);
}

void ramp_warn(const struct stream *s, FILE *out)
{
    if (!(s->groups & LATENT_GROUP_READOUT)) return;
    for (uint32_t i = 0; i < s->info.n_readout; i++) {
        const struct latent_readout *r = &s->info.readout[i];

        if (!r->hold && isfinite(r->slew)) warn_of(s, r, out);
    }
}
