/* What a bin may hold, and how much of it reaches the model: the one rule, for streams, trials,
 * recordings and known answers. */
#include <stdbool.h>
#include <string.h>

#include "kernels/kernels.h"
#include "latent.h"

#define COUNTS_END 16777216.0f /* 2^24 */
#define WHOLE_FROM 8388608.0f  /* 2^23: from here on every float32 is whole */

const char *latent_input_name(uint32_t input)
{
    return input == LATENT_INPUT_REAL ? "real" : "counts";
}

/* Adding 2^23 leaves no room for a fraction, and taking it away again shows whether there was one.
 * NaN fails the comparisons. */
static bool is_no_count(float x)
{
    float whole = (x + WHOLE_FROM) - WHOLE_FROM;
    return !(x >= 0.0f) | !(x < COUNTS_END) | ((x < WHOLE_FROM) & (whole != x));
}

static bool all_counts(const float *values, size_t n)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) bad |= is_no_count(values[i]);
    return bad == 0;
}

/* [n]; a limit that is NULL holds nothing back. Whole passes over the channels, without a branch in
 * them. */
static bool clip_above(float *x, const float *limit, size_t n)
{
    unsigned clipped = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_above = x[i] > limit[i];
        clipped |= is_above;
        x[i] = is_above ? limit[i] : x[i];
    }
    return clipped != 0;
}

static bool clip_below(float *x, const float *limit, size_t n)
{
    unsigned clipped = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_below = x[i] < limit[i];
        clipped |= is_below;
        x[i] = is_below ? limit[i] : x[i];
    }
    return clipped != 0;
}

uint32_t latent_input_clip(const struct latent_info *info, float *out, const float *values)
{
    size_t n = info->n_channels;
    bool clipped = false;
    if (out != values) memcpy(out, values, n * sizeof *out);
    if (info->channel_clip) clipped = clip_above(out, info->channel_clip, n);
    if (info->channel_clip_low) clipped |= clip_below(out, info->channel_clip_low, n);
    return clipped ? LATENT_INPUT_CLIPPED : 0u;
}

size_t latent_input_check(uint32_t input, const float *values, size_t n)
{
    bool real = input == LATENT_INPUT_REAL;
    if (real ? kernels_get()->finite(values, n) : all_counts(values, n)) return n;
    for (size_t i = 0; i < n; i++)
        if (real ? !kernels_get()->finite(values + i, 1) : is_no_count(values[i])) return i;
    return n;
}
