/* One count of bins that equal each other; how many are too many depends on whether there is
 * anything in them. It is counted in bins, so that bins that are late, or come at once, tell the
 * same; what is missing between them tells nothing. */
#include "line/still.h"

#include "line/publish.h"

#define LEAST_NS 250000000u     /* however short the runs were in training */
#define NOT_SAID_NS 1000000000u /* where the model does not say */
#define TIMES 3                 /* as long as in training */

static uint64_t bins_of(const struct line *line, uint64_t ns)
{
    return (ns + line->bin_ns - 1) / line->bin_ns;
}

static uint64_t too_many(const struct line *line, uint32_t longest)
{
    uint64_t least = bins_of(line, LEAST_NS), n = TIMES * (uint64_t)longest;

    if (longest == LATENT_NOT_SAID) return bins_of(line, NOT_SAID_NS);
    return n > least ? n : least;
}

void still_init(struct line *line, const struct latent_info *info)
{
    const struct line_policy *policy = &line->options.policy;
    uint64_t left_ns =
        policy->lease_ns > policy->safe_ramp_ns ? policy->lease_ns - policy->safe_ramp_ns : 0;
    bool real = info->input == LATENT_INPUT_REAL;

    line->still.repeat_bins = too_many(line, info->longest_repeat);
    line->still.silence_bins =
        real ? line->still.repeat_bins : too_many(line, info->longest_silence);
    line->still.safe_bins = bins_of(line, left_ns);
}

static bool is_zero(const float *counts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (counts[i] < 0.0f || counts[i] > 0.0f) return false;
    return true;
}

static bool is_same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] < b[i] || a[i] > b[i]) return false;
    return true;
}

bool still_on_bin(struct line *line, uint64_t now_ns)
{
    const struct line_policy *policy = &line->options.policy;
    uint64_t *n = &line->state.n_still, limit;

    if (policy->on_silent == ON_SILENT_OFF) return false;
    if (*n && !is_same(line->counts, line->last_counts, line->n_channels)) *n = 0;
    ++*n;
    limit = is_zero(line->counts, line->n_channels) ? line->still.silence_bins
                                                    : line->still.repeat_bins;
    if (*n < limit) return false;
    if (policy->on_silent == ON_SILENT_SAFE && policy->lease_ns &&
        *n - limit >= line->still.safe_bins)
        publish_enter_safe(line, SAFE_SIGNAL, now_ns, LINE_NEVER);
    return true;
}

void still_on_failure(struct line *line)
{
    line->state.n_still = 0;
}
