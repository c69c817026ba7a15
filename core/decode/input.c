/* What a bin may hold: the one rule, for streams, trials, recordings and known answers. */
#include <stdbool.h>

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

size_t latent_input_check(uint32_t input, const float *values, size_t n)
{
    bool real = input == LATENT_INPUT_REAL;
    if (real ? kernels_get()->finite(values, n) : all_counts(values, n)) return n;
    for (size_t i = 0; i < n; i++)
        if (real ? !kernels_get()->finite(values + i, 1) : is_no_count(values[i])) return i;
    return n;
}
