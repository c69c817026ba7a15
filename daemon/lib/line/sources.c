/* Two signs: bins that come again with other contents, and numbers that come by turns from here and
 * from there. */
#include "line/sources.h"

#include <string.h>

static void name(struct sources *s, uint64_t epoch, uint64_t seq)
{
    atomic_store_explicit(&s->epoch, epoch, memory_order_relaxed);
    atomic_store_explicit(&s->seq, seq, memory_order_relaxed);
    atomic_store_explicit(&s->n, s->n_all, memory_order_release);
}

void sources_read(const struct sources *s, struct sources_seen *out)
{
    out->n = atomic_load_explicit(&s->n, memory_order_acquire);
    out->epoch = atomic_load_explicit(&s->epoch, memory_order_relaxed);
    out->seq = atomic_load_explicit(&s->seq, memory_order_relaxed);
}

static uint32_t bound(uint32_t most_bins)
{
    if (most_bins == 0) return SOURCES_BINS;
    return most_bins < SOURCES_MOST_BINS ? most_bins : SOURCES_MOST_BINS;
}

/* ---- other contents ---- */

static uint64_t mix(uint64_t print, uint64_t word)
{
    print = (print ^ word) * 0x9e3779b97f4a7c15u;
    return print ^ print >> 32;
}

/* Four at a time, each for itself: one chain of mixes would wait for its own multiplications. */
uint64_t sources_print(const float *counts, uint32_t n_channels, uint64_t t_source_ns,
                       uint64_t event_id)
{
    uint64_t print[4] = {t_source_ns, event_id, 0, n_channels}, words[4];
    uint32_t k = 0, last;

    for (; k + 8 <= n_channels; k += 8) {
        memcpy(words, counts + k, sizeof words);
        for (size_t i = 0; i < 4; i++) print[i] = mix(print[i], words[i]);
    }
    for (; k < n_channels; k++) {
        memcpy(&last, counts + k, sizeof last);
        print[2] = mix(print[2], last);
    }
    for (size_t i = 1; i < 4; i++) print[0] = mix(mix(print[0], i), print[i]);
    return print[0] ? print[0] : 1;
}

void sources_on_decoded(struct sources *s, uint64_t seq, uint64_t print)
{
    s->decoded[seq % SEQUENCE_MAX_WINDOW].seq = seq;
    s->decoded[seq % SEQUENCE_MAX_WINDOW].print = print;
}

void sources_on_restart(struct sources *s)
{
    memset(s->decoded, 0, sizeof s->decoded);
}

/* A second, or as long as twice as many wide bins take as must not come. */
static uint64_t window_ns(const struct trust_rules *rules, uint32_t most_bins)
{
    uint64_t wide_ns = 2 * most_bins * rules->bin_ns;

    return wide_ns > SOURCES_NS ? wide_ns : SOURCES_NS;
}

void sources_on_repeated(struct sources *s, const struct trust_rules *rules, uint32_t most_bins,
                         const struct trust_place *bin, uint64_t print, uint64_t t_recv_ns)
{
    uint64_t n = bound(most_bins), before_ns;
    uint64_t seq = s->decoded[bin->seq % SEQUENCE_MAX_WINDOW].seq;
    uint64_t decoded = s->decoded[bin->seq % SEQUENCE_MAX_WINDOW].print;

    if (!decoded || seq != bin->seq || decoded == print) return;
    s->n_all++;
    s->t_other_ns[s->n_other++ % (SOURCES_MOST_BINS + 1)] = t_recv_ns;
    if (s->n_other <= n) return;
    before_ns = s->t_other_ns[(s->n_other - 1 - n) % (SOURCES_MOST_BINS + 1)];
    if (t_recv_ns - before_ns <= window_ns(rules, (uint32_t)n)) name(s, bin->epoch, bin->seq);
}

/* ---- by turns ---- */

/* The place of the source that may have sent this message, else one that is free, else that of the
 * source not heard for longest. */
static uint32_t find(const struct sources *s, const struct trust_rules *rules,
                     const struct trust_message *m, bool *is_known)
{
    uint32_t oldest = 0;

    *is_known = true;
    for (uint32_t i = 0; i < SOURCES_KNOWN; i++) {
        if (s->heard[i] && trust_reaches(rules, &s->known[i], &m->first)) return i;
        if (s->heard[i] < s->heard[oldest]) oldest = i;
    }
    *is_known = false;
    return oldest;
}

static bool is_short(const struct sources_run *run, uint64_t now_ns)
{
    return run->n_messages < SOURCES_RUN_MESSAGES || now_ns - run->t_first_ns < SOURCES_NS;
}

/* A run of one source ends with a message of another. */
static void take_turns(struct sources *s, uint32_t most_bins, const struct trust_message *m,
                       uint32_t who, bool is_known)
{
    const struct sources_run ended = s->run;

    s->run = (struct sources_run){.who = who, .t_first_ns = m->t_recv_ns};
    if (!is_short(&ended, m->t_recv_ns)) s->n_returns = s->n_between = 0;
    if (!is_known || !ended.n_messages) return;
    s->n_returns++;
    s->n_between += ended.n_bins;
    s->n_all += ended.n_bins;
    if (s->n_returns >= SOURCES_RETURNS && s->n_between > bound(most_bins))
        name(s, m->first.epoch, m->first.seq);
}

void sources_on_message(struct sources *s, const struct trust_rules *rules, uint32_t most_bins,
                        const struct trust_message *m)
{
    bool is_known;
    uint32_t who;

    if (!rules->max_jump_bins) return;
    who = find(s, rules, m, &is_known);
    if (who != s->run.who || !is_known) take_turns(s, most_bins, m, who, is_known);
    if (!is_known || m->last.seq > s->known[who].seq) s->known[who] = m->last;
    s->heard[who] = ++s->n_heard;
    s->run.n_messages++;
    s->run.n_bins += m->last.seq - m->first.seq + 1;
}
