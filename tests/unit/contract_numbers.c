/* The incumbent, and rivals that are not believed yet. */
#include "contract_numbers.h"

/* Could one source be at both places, a few seconds apart? */
static bool is_one(const struct oracle *o, const struct oracle_source *a,
                   const struct oracle_source *b)
{
    uint64_t jump = o->options->max_jump_bins, apart_ns;

    if (a->epoch != b->epoch) return false;
    if (b->seq > a->seq && b->seq - a->seq > jump) return false;
    if (a->seq > b->seq && a->seq - b->seq > 1023) return false;
    if (a->t_source_ns == 0 || b->t_source_ns == 0) return true;
    if (b->t_source_ns >= a->t_source_ns)
        return b->t_source_ns - a->t_source_ns <= jump * o->bin_ns;
    apart_ns = a->t_source_ns - b->t_source_ns;
    return apart_ns <= jump * o->bin_ns && apart_ns < 1024 * o->bin_ns;
}

/* Three messages in a row, each further than the one before, over two bins of time. */
static bool witness(struct oracle *o, const struct parcel *p)
{
    const struct oracle_source first = {p->epoch, p->seq, p->t_source_ns};
    bool same = o->n_rival && is_one(o, &o->rival, &first);

    if (same && p->seq <= o->rival.seq) return false;
    if (!same) o->t_rival_ns = o->open.t_recv_ns;
    o->n_rival = same ? o->n_rival + 1 : 1;
    o->rival = first;
    o->rival.seq += p->n_bins - 1;
    if (p->t_source_ns) o->rival.t_source_ns += (p->n_bins - 1) * o->bin_ns;
    return o->n_rival >= 3 && o->open.t_recv_ns - o->t_rival_ns >= 2 * o->bin_ns;
}

enum whose numbers_whose(struct oracle *o, const struct parcel *p)
{
    const struct oracle_source incumbent = {o->epoch, o->newest, o->t_source_ns};
    const struct oracle_source first = {p->epoch, p->seq, p->t_source_ns};
    uint64_t missing_ns = o->options->policy.missing_after_ns;
    bool is_new = p->epoch != o->epoch && !(o->has_previous && p->epoch == o->previous);
    bool is_silent = missing_ns && o->open.t_recv_ns - o->t_incumbent_ns >= missing_ns;

    if (o->options->max_jump_bins == 0) return WHOSE_INCUMBENT;
    if (!o->started || is_one(o, &incumbent, &first)) {
        o->t_incumbent_ns = o->open.t_recv_ns;
        o->n_rival = 0;
        return WHOSE_INCUMBENT;
    }
    if (witness(o, p) || (is_new && is_silent)) return WHOSE_SUCCESSOR;
    return p->epoch == o->epoch ? WHOSE_JUMP : WHOSE_OTHER;
}

void numbers_follow(struct oracle *o, const struct parcel *p, uint32_t i, bool restarts)
{
    if (restarts) {
        o->t_source_ns = 0;
        o->n_rival = 0;
        o->t_incumbent_ns = o->open.t_recv_ns;
        o->open.whose = WHOSE_INCUMBENT;
    }
    if (p->t_source_ns) o->t_source_ns = p->t_source_ns + i * o->bin_ns;
}

bool numbers_wrap(const struct oracle *o, const struct parcel *p)
{
    return p->seq > UINT64_MAX - p->n_bins || p->t_source_ns > UINT64_MAX - p->n_bins * o->bin_ns;
}
