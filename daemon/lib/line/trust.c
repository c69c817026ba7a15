/* The incumbent and those who claim its place are judged by the same measure. */
#include "line/trust.h"

/* Forwards by max-jump at most, backwards by less than what is of another count. */
static bool is_near(const struct trust_rules *rules, uint64_t from, uint64_t to)
{
    return to > from ? to - from <= rules->max_jump_bins : from - to < TRUST_BEHIND_BINS;
}

/* Numbers order bins, times do not: a step back is one as far as a step ahead. */
static bool is_near_in_time(const struct trust_rules *rules, uint64_t from_ns, uint64_t to_ns)
{
    uint64_t most_ns = rules->max_jump_bins * rules->bin_ns;

    if (!from_ns || !to_ns) return true;
    if (to_ns >= from_ns) return to_ns - from_ns <= most_ns;
    return from_ns - to_ns <= most_ns && from_ns - to_ns < TRUST_BEHIND_BINS * rules->bin_ns;
}

bool trust_reaches(const struct trust_rules *rules, const struct trust_place *from,
                   const struct trust_place *to)
{
    return from->epoch == to->epoch && is_near(rules, from->seq, to->seq) &&
           is_near_in_time(rules, from->t_source_ns, to->t_source_ns);
}

/* A number that comes again is no further witness. */
static bool agrees(const struct trust *t, const struct trust_rules *rules,
                   const struct trust_message *m)
{
    return t->n_claims && trust_reaches(rules, &t->claim, &m->first) && m->first.seq > t->claim.seq;
}

static bool is_believed(const struct trust *t, const struct trust_rules *rules,
                        const struct trust_message *m)
{
    return agrees(t, rules, m) && t->n_claims + 1 >= TRUST_MESSAGES &&
           m->t_recv_ns - t->t_claim_ns >= TRUST_BINS * rules->bin_ns;
}

/* The epoch before the incumbent's is no new one: its last messages may still be on their way. */
static bool is_successor(const struct trust *t, const struct trust_rules *rules,
                         const struct sequence *s, const struct trust_message *m)
{
    bool is_new = !s->has_previous || m->first.epoch != s->previous_epoch;

    return is_new && rules->silent_ns && m->t_recv_ns - t->t_heard_ns >= rules->silent_ns;
}

enum trust_verdict trust_judge(const struct trust *t, const struct trust_rules *rules,
                               const struct sequence *s, const struct trust_message *m)
{
    const struct trust_place incumbent = {s->epoch, s->newest, t->t_source_ns};
    bool is_other = m->first.epoch != s->epoch;

    if (!rules->max_jump_bins || !s->started || trust_reaches(rules, &incumbent, &m->first))
        return TRUST_INCUMBENT;
    if (is_believed(t, rules, m) || (is_other && is_successor(t, rules, s, m)))
        return TRUST_RESTART;
    if (is_other) return TRUST_SOURCE;
    return is_near(rules, s->newest, m->first.seq) ? TRUST_TIME : TRUST_JUMP;
}

static void claim(struct trust *t, const struct trust_rules *rules, const struct trust_message *m)
{
    if (agrees(t, rules, m)) {
        if (t->n_claims < TRUST_MESSAGES) t->n_claims++;
    } else if (t->n_claims && trust_reaches(rules, &t->claim, &m->first)) {
        return;
    } else {
        t->n_claims = 1;
        t->t_claim_ns = m->t_recv_ns;
    }
    t->claim = m->last;
}

void trust_apply(struct trust *t, const struct trust_rules *rules, enum trust_verdict verdict,
                 const struct trust_message *m)
{
    if (verdict != TRUST_INCUMBENT) {
        claim(t, rules, m);
        return;
    }
    t->t_heard_ns = m->t_recv_ns;
    t->n_claims = 0;
}

void trust_begin(struct trust *t, uint64_t t_source_ns, uint64_t t_recv_ns)
{
    *t = (struct trust){.t_heard_ns = t_recv_ns, .t_source_ns = t_source_ns};
}

void trust_on_bin(struct trust *t, uint64_t t_source_ns)
{
    if (t_source_ns) t->t_source_ns = t_source_ns;
}
