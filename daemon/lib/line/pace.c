/* Differences of e are signed: numbers and times wrap together. */
#include "line/pace.h"

void pace_init(struct pace *p)
{
    *p = (struct pace){0};
}

static bool is_less(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

/* Place of the bin that came `before` bins before the newest. */
static uint32_t place(const struct pace *p, uint32_t before)
{
    return (p->at + PACE_MOST_BINS - before) % PACE_MOST_BINS;
}

static void put(struct pace *p, uint64_t e_ns, uint64_t t_ns)
{
    p->at = (p->at + 1) % PACE_MOST_BINS;
    p->e_ns[p->at] = e_ns;
    p->t_ns[p->at] = t_ns;
    if (p->n < PACE_MOST_BINS) p->n++;
}

static void judge(struct pace *p, uint64_t bin_ns, uint32_t n_bins)
{
    uint64_t took_ns = p->t_ns[p->at] - p->t_ns[place(p, n_bins - 1)];
    uint64_t least_ns = p->e_ns[p->at];

    for (uint32_t i = 1; i < n_bins; i++)
        if (is_less(p->e_ns[place(p, i)], least_ns)) least_ns = p->e_ns[place(p, i)];
    if (p->is_known && took_ns < (n_bins - 1) * bin_ns && !is_less(least_ns, p->least_ns)) return;
    p->is_known = true;
    p->least_ns = least_ns;
}

uint64_t pace_on_bin(struct pace *p, uint64_t seq, uint64_t t_arrived_ns, uint64_t bin_ns,
                     uint32_t n_bins)
{
    uint64_t e_ns = t_arrived_ns - seq * bin_ns;

    if (n_bins < PACE_LEAST_BINS) n_bins = PACE_LEAST_BINS;
    if (n_bins > PACE_MOST_BINS) n_bins = PACE_MOST_BINS;
    put(p, e_ns, t_arrived_ns);
    if (p->n >= n_bins) judge(p, bin_ns, n_bins);
    return p->is_known && is_less(p->least_ns, e_ns) ? e_ns - p->least_ns : 0;
}
