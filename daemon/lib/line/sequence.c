/* The order of bins. A ring of slots remembers what happened to the last
 * SEQUENCE_MAX_WINDOW numbers. */
#include "line/sequence.h"

#include <assert.h>
#include <string.h>

void sequence_init(struct sequence *s, const struct sequence_rules *rules)
{
    assert(rules->window_bins >= 1 && rules->window_bins <= SEQUENCE_MAX_WINDOW);
    *s = (struct sequence){.rules = *rules};
}

bool sequence_is_sound(const struct sequence *s, const struct sequence_rules *rules)
{
    for (unsigned i = 0; i < SEQUENCE_MAX_WINDOW; i++)
        if (s->slot[i] > SLOT_SKIPPED) return false;
    return s->n_ahead <= rules->max_gap_bins && s->rules.window_bins == rules->window_bins &&
           s->rules.max_gap_bins == rules->max_gap_bins && s->rules.fill == rules->fill;
}

static unsigned slot_index(uint64_t seq)
{
    return (unsigned)(seq % SEQUENCE_MAX_WINDOW);
}

/* ---- check ---- */

static void restart(struct sequence_verdict *v)
{
    v->restart = true;
    v->reset = true;
}

/* One bin that looks like a restarted source may be a straggler: only several in a row
 * are believed. */
static void suspect(const struct sequence *s, struct sequence_verdict *v)
{
    if (s->n_suspect + 1 >= SEQUENCE_RESTART_BINS) {
        restart(v);
        return;
    }
    v->outcome = SEQUENCE_STALE;
    v->suspect = true;
}

/* A new epoch is a new source at once. The previous epoch is a straggler of before the
 * restart, unless it goes on: two sources on one stream must not make each other
 * restart at every bin. */
static void check_epoch(const struct sequence *s, struct sequence_verdict *v)
{
    if (s->has_previous && v->epoch == s->previous_epoch)
        suspect(s, v);
    else
        restart(v);
}

static void check_ahead(const struct sequence *s, struct sequence_verdict *v)
{
    v->n_missing = v->seq - s->newest - 1;
    v->after_gap = v->n_missing > 0 || s->n_ahead > 0;
    if (v->n_missing == 0) return;
    v->reset = !s->rules.fill || v->n_missing > s->rules.max_gap_bins - s->n_ahead;
    if (!v->reset) v->n_fill = v->n_missing;
}

static void check_behind(const struct sequence *s, struct sequence_verdict *v)
{
    static const enum sequence_outcome outcome[] = {
        [SLOT_UNKNOWN] = SEQUENCE_STALE,
        [SLOT_RECEIVED] = SEQUENCE_DUPLICATE,
        [SLOT_FILLED] = SEQUENCE_LATE_AFTER_FILL,
        [SLOT_SKIPPED] = SEQUENCE_STALE,
    };
    uint64_t behind = s->newest - v->seq;
    enum sequence_slot slot;

    v->outcome = SEQUENCE_STALE;
    if (behind < s->rules.window_bins) {
        slot = s->slot[slot_index(v->seq)];
        v->outcome = outcome[slot];
        v->reordered = slot == SLOT_FILLED || slot == SLOT_SKIPPED;
    } else if (s->epoch == 0 && behind >= SEQUENCE_RESTART_BEHIND) {
        v->outcome = SEQUENCE_DECODE;
        suspect(s, v);
    }
}

void sequence_check(const struct sequence *s, uint64_t epoch, uint64_t seq,
                    struct sequence_verdict *v)
{
    *v = (struct sequence_verdict){.epoch = epoch, .seq = seq};
    if (!s->started) return;
    if (epoch != s->epoch)
        check_epoch(s, v);
    else if (seq > s->newest)
        check_ahead(s, v);
    else
        check_behind(s, v);
}

void sequence_restart(uint64_t epoch, uint64_t seq, struct sequence_verdict *v)
{
    *v = (struct sequence_verdict){.epoch = epoch, .seq = seq};
    restart(v);
}

/* ---- apply ---- */

static void start(struct sequence *s, uint64_t epoch, uint64_t seq)
{
    s->has_previous = s->started && epoch != s->epoch;
    s->previous_epoch = s->epoch;
    s->started = true;
    s->epoch = epoch;
    s->newest = seq;
    s->n_ahead = 0;
    memset(s->slot, SLOT_UNKNOWN, sizeof s->slot);
}

/* At most one round of the ring, however far the number jumped. */
static void skip_to(struct sequence *s, const struct sequence_verdict *v)
{
    uint64_t n = v->n_missing < SEQUENCE_MAX_WINDOW ? v->n_missing : SEQUENCE_MAX_WINDOW;

    for (uint64_t i = 1; i <= n; i++)
        s->slot[slot_index(v->seq - i)] = v->n_fill ? SLOT_FILLED : SLOT_SKIPPED;
    s->n_lost += v->n_missing;
    s->newest = v->seq;
    s->n_ahead = 0;
}

void sequence_apply(struct sequence *s, const struct sequence_verdict *v)
{
    s->n_suspect = v->suspect ? s->n_suspect + 1 : 0;
    if (v->reordered) {
        s->n_lost--;
        s->n_reordered++;
    }
    if (v->outcome == SEQUENCE_DECODE) {
        s->n_restarts += v->restart;
        if (!s->started || v->restart)
            start(s, v->epoch, v->seq);
        else
            skip_to(s, v);
    }
    if (v->outcome == SEQUENCE_DECODE || v->reordered) s->slot[slot_index(v->seq)] = SLOT_RECEIVED;
}

bool sequence_advance(struct sequence *s)
{
    if (s->n_ahead >= s->rules.max_gap_bins || s->newest == UINT64_MAX) return false;
    s->newest++;
    s->n_ahead++;
    s->n_lost++;
    s->slot[slot_index(s->newest)] = SLOT_FILLED;
    return true;
}
