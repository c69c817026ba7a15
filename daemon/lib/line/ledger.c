/* Counters with one writer and a version number that tells readers when a copy is
 * whole. */
#include "line/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

#define READ_ATTEMPTS 10000

/* ---- names ---- */

static const struct {
    const char *name;
    enum counter first, end;
    bool is_ledger;
} groups[LEDGER_N_GROUPS] = {
    [LEDGER_MESSAGES] = {"messages", MESSAGES_IN, BINS_IN, true},
    [LEDGER_BINS] = {"bins", BINS_IN, FRAMES_DUE, true},
    [LEDGER_FRAMES] = {"frames", FRAMES_DUE, FLAGS_FIRST, true},
    [LEDGER_FLAGS] = {"flags", FLAGS_FIRST, SEQUENCE_LOST, false},
    [LEDGER_SEQUENCE] = {"sequence", SEQUENCE_LOST, STATE_BUDGET_MISSES, false},
    [LEDGER_STATE] = {"state", STATE_BUDGET_MISSES, N_COUNTERS, false},
};

static const char *const names[N_COUNTERS] = {
    [MESSAGES_IN] = "in",
    [MESSAGES_ACCEPTED] = "accepted",
    [MESSAGES_REFUSED_LENGTH] = "refused.length",
    [MESSAGES_REFUSED_FORMAT] = "refused.format",
    [MESSAGES_REFUSED_SHAPE] = "refused.shape",
    [MESSAGES_REFUSED_SEQUENCE] = "refused.sequence",
    [BINS_IN] = "in",
    [BINS_DECODED] = "decoded",
    [BINS_DUPLICATE] = "duplicate",
    [BINS_STALE] = "stale",
    [BINS_LATE_AFTER_FILL] = "late_after_fill",
    [BINS_REFUSED_SHAPE] = "refused.shape",
    [BINS_REFUSED_VALUE] = "refused.value",
    [BINS_REFUSED_JUMP] = "refused.jump",
    [BINS_REFUSED_SOURCE] = "refused.source",
    [FRAMES_DUE] = "due",
    [FRAMES_PUBLISHED] = "published",
    [FRAMES_SUPPRESSED_SEND] = "suppressed.send",
    [FRAMES_SUPPRESSED_AGE] = "suppressed.age",
    [FRAMES_SKIPPED] = "skipped",
    [SEQUENCE_LOST] = "lost",
    [SEQUENCE_REORDERED] = "reordered",
    [SEQUENCE_FILLED] = "filled",
    [SEQUENCE_MISSING] = "missing",
    [SEQUENCE_RESTARTS] = "restarts",
    [SEQUENCE_RESETS] = "resets",
    [STATE_BUDGET_MISSES] = "budget_misses",
    [STATE_LAST_SEQ] = "last_seq",
    [STATE_LAST_EPOCH] = "last_epoch",
    [STATE_STATE] = "state",
};

enum counter ledger_group_first(enum ledger_group group)
{
    assert(group < LEDGER_N_GROUPS);
    return groups[group].first;
}

enum counter ledger_group_end(enum ledger_group group)
{
    assert(group < LEDGER_N_GROUPS);
    return groups[group].end;
}

const char *ledger_group_name(enum ledger_group group)
{
    assert(group < LEDGER_N_GROUPS);
    return groups[group].name;
}

const char *counter_name(enum counter c)
{
    assert(c < N_COUNTERS);
    if (c >= FLAGS_FIRST && c <= FLAGS_LAST) return latent_flag_name(c - FLAGS_FIRST);
    return names[c];
}

/* ---- the writer ---- */

/* The version is changed by read-modify-write so that, without a fence, the counters
 * written after open stay after it and those before close before it. */
void ledger_open(struct ledger *l)
{
    uint32_t version = atomic_fetch_add_explicit(&l->version, 1, memory_order_acq_rel);
    assert(version % 2 == 0);
    (void)version;
}

void ledger_close(struct ledger *l)
{
    atomic_fetch_add_explicit(&l->version, 1, memory_order_acq_rel);
}

void ledger_set(struct ledger *l, enum counter c, uint64_t value)
{
    atomic_store_explicit(&l->value[c], value, memory_order_relaxed);
}

void ledger_add(struct ledger *l, enum counter c, uint64_t n)
{
    ledger_set(l, c, atomic_load_explicit(&l->value[c], memory_order_relaxed) + n);
}

/* ---- readers ---- */

/* One attempt; true when no change fell into it. The second look at the version is a
 * read-modify-write of nothing, which keeps the reads of the counters before it. */
static bool read_once(struct ledger *l, struct ledger_values *out)
{
    uint32_t before = atomic_load_explicit(&l->version, memory_order_acquire);

    for (int c = 0; c < N_COUNTERS; c++)
        out->value[c] = atomic_load_explicit(&l->value[c], memory_order_relaxed);
    return before % 2 == 0 &&
           atomic_fetch_add_explicit(&l->version, 0, memory_order_acq_rel) == before;
}

bool ledger_read(struct ledger *l, struct ledger_values *out)
{
    for (int i = 0; i < READ_ATTEMPTS; i++) {
        if (read_once(l, out)) return true;
        sched_yield();
    }
    return false;
}

/* ---- the balance ---- */

static uint64_t sum_of_others(const struct ledger_values *v, enum ledger_group group)
{
    uint64_t sum = 0;

    for (enum counter c = groups[group].first + 1; c < groups[group].end; c++) sum += v->value[c];
    return sum;
}

bool ledger_balanced(const struct ledger_values *v, enum ledger_group group)
{
    assert(group < LEDGER_N_GROUPS);
    if (!groups[group].is_ledger) return true;
    return v->value[groups[group].first] == sum_of_others(v, group);
}

bool ledger_check(const struct ledger_values *v, char *text, size_t n_text)
{
    uint64_t due = v->value[FRAMES_DUE];
    uint64_t made = v->value[BINS_DECODED] + v->value[SEQUENCE_FILLED] + v->value[SEQUENCE_MISSING];

    text[0] = '\0';
    for (enum ledger_group g = 0; g < LEDGER_N_GROUPS; g++) {
        if (ledger_balanced(v, g)) continue;
        snprintf(text, n_text, "%s: %s is %" PRIu64 ", the rest adds up to %" PRIu64,
                 groups[g].name, counter_name(groups[g].first), v->value[groups[g].first],
                 sum_of_others(v, g));
        return false;
    }
    if (due == made) return true;
    snprintf(text, n_text, "frames: due is %" PRIu64 ", decoded + filled + missing is %" PRIu64,
             due, made);
    return false;
}
