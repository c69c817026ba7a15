/* Ten parts; the oldest is cleared when the next begins. */
#include "shadow/agreement.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_PARTS 10

struct sums {
    double n, x, y, xx, yy, xy, dd;
};

struct agreement {
    uint32_t n_readout;
    uint64_t part_bins, n_bins; /* n_bins: so far in this part */
    unsigned part;
    struct sums sums[]; /* [N_PARTS][n_readout] */
};

struct agreement *agreement_new(uint64_t window_bins, uint32_t n_readout)
{
    struct agreement *a = calloc(1, sizeof *a + N_PARTS * (size_t)n_readout * sizeof a->sums[0]);

    if (!a) return NULL;
    a->n_readout = n_readout;
    a->part_bins = window_bins < N_PARTS ? 1 : window_bins / N_PARTS;
    return a;
}

void agreement_free(struct agreement *a)
{
    free(a);
}

void agreement_clear(struct agreement *a)
{
    a->n_bins = 0;
    a->part = 0;
    memset(a->sums, 0, N_PARTS * (size_t)a->n_readout * sizeof a->sums[0]);
}

static struct sums *part_of(struct agreement *a)
{
    return a->sums + a->part * (size_t)a->n_readout;
}

static void begin_part(struct agreement *a)
{
    a->part = (a->part + 1) % N_PARTS;
    a->n_bins = 0;
    memset(part_of(a), 0, a->n_readout * sizeof a->sums[0]);
}

void agreement_add(struct agreement *a, const float *ours, const float *theirs)
{
    if (a->n_bins == a->part_bins) begin_part(a);
    a->n_bins++;
    if (!ours || !theirs) return;
    for (uint32_t o = 0; o < a->n_readout; o++) {
        struct sums *s = part_of(a) + o;
        double x = (double)ours[o], y = (double)theirs[o];

        s->n += 1;
        s->x += x;
        s->y += y;
        s->xx += x * x;
        s->yy += y * y;
        s->xy += x * y;
        s->dd += (x - y) * (x - y);
    }
}

static void add(struct sums *to, const struct sums *s)
{
    to->n += s->n;
    to->x += s->x;
    to->y += s->y;
    to->xx += s->xx;
    to->yy += s->yy;
    to->xy += s->xy;
    to->dd += s->dd;
}

void agreement_read(const struct agreement *a, uint32_t readout, struct agreement_summary *out)
{
    struct sums s = {0};
    double vx, vy;

    for (unsigned part = 0; part < N_PARTS; part++)
        add(&s, a->sums + part * (size_t)a->n_readout + readout);
    *out = (struct agreement_summary){.n = (uint64_t)s.n, .correlation = NAN};
    if (s.n < 1) return;
    out->rms = sqrt(s.dd / s.n);
    vx = s.xx - s.x * s.x / s.n;
    vy = s.yy - s.y * s.y / s.n;
    /* What is left of a constant is rounding. */
    if (vx <= 1e-12 * s.xx || vy <= 1e-12 * s.yy) return;
    out->correlation = (s.xy - s.x * s.y / s.n) / sqrt(vx * vy);
}
