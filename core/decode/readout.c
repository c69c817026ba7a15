/* Each value from bin to bin; latent_readout_limit says how far. */
#include "decode/readout.h"

uint32_t readout_limit(float *y, float *last, const struct latent_readout *spec, size_t n,
                       double bin_s)
{
    uint32_t flags = 0;
    for (size_t i = 0; i < n; i++) {
        float limited = latent_readout_limit(&spec[i], y[i], last[i], bin_s);
        if (limited < y[i] || limited > y[i]) flags = LATENT_LIMITED;
        y[i] = last[i] = limited;
    }
    return flags;
}

void readout_neutral(float *y, float *last, const struct latent_readout *spec, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = last[i] = spec[i].neutral;
}
