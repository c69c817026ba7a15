/* The ledgers of one stream: named counters in which every message, bin and frame ends
 * in exactly one place. One thread writes (its data loop); any thread reads a copy that
 * balances. */
#ifndef LINE_LEDGER_H
#define LINE_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latent.h"
#include "wire.h"

enum ledger_group {
    LEDGER_MESSAGES, /* in = accepted + refused */
    LEDGER_BINS,     /* in = decoded + duplicate + stale + late_after_fill + refused */
    LEDGER_FRAMES,   /* due = published + suppressed + skipped */
    LEDGER_FLAGS,    /* frames published with each flag */
    LEDGER_SEQUENCE, /* what the sequence numbers told */
    LEDGER_STATE,    /* numbers that are no counts of the above */
    LEDGER_N_GROUPS,
};

/* In the order of the groups; the first of each ledger is what the rest must add up to. */
enum counter {
    MESSAGES_IN,
    MESSAGES_ACCEPTED,
    MESSAGES_REFUSED_LENGTH, /* the refusals stand in the order of enum wire_refusal */
    MESSAGES_REFUSED_FORMAT,
    MESSAGES_REFUSED_SHAPE,
    MESSAGES_REFUSED_SEQUENCE,
    BINS_IN,
    BINS_DECODED,
    BINS_DUPLICATE,
    BINS_STALE,
    BINS_LATE_AFTER_FILL,
    BINS_REFUSED_SHAPE,
    BINS_REFUSED_VALUE,
    BINS_REFUSED_JUMP,   /* number or time cannot be the source's */
    BINS_REFUSED_SOURCE, /* of another epoch while the source of this one sends */
    FRAMES_DUE,
    FRAMES_PUBLISHED,
    FRAMES_SUPPRESSED_SEND, /* the socket did not take it */
    FRAMES_SUPPRESSED_AGE,  /* older than max-age */
    FRAMES_SKIPPED,         /* by on-late = skip */
    FLAGS_FIRST,
    FLAGS_LAST = FLAGS_FIRST + LATENT_N_FLAGS - 1,
    SEQUENCE_LOST,      /* never came, or came outside of the reorder window, or was refused */
    SEQUENCE_REORDERED, /* came late, inside of the reorder window */
    SEQUENCE_FILLED,    /* frames made for bins that were missing */
    SEQUENCE_MISSING,   /* frames made while no bin came: on-missing, SAFE */
    SEQUENCE_RESTARTS,
    SEQUENCE_RESETS, /* of the decoder, by latentd; those by marks show in the flag
                        RESET */
    STATE_BUDGET_MISSES,
    STATE_LAST_SEQ,
    STATE_LAST_EPOCH,
    STATE_STATE, /* enum line_state */
    N_COUNTERS,
};

struct ledger {
    _Atomic uint32_t version; /* odd while the writer is between open and close */
    _Atomic uint64_t value[N_COUNTERS];
};

struct ledger_values {
    uint64_t value[N_COUNTERS];
};

/* Writer. Everything between open and close becomes visible together. */
void ledger_open(struct ledger *l);
void ledger_add(struct ledger *l, enum counter c, uint64_t n);
void ledger_set(struct ledger *l, enum counter c, uint64_t value);
void ledger_close(struct ledger *l);

/* Any thread. false: the writer was caught inside again and again (it may be stopped in
 * a debugger), and the copy may not balance. */
bool ledger_read(struct ledger *l, struct ledger_values *out);

/* [first, end) of a group. */
enum counter ledger_group_first(enum ledger_group group);
enum counter ledger_group_end(enum ledger_group group);
const char *ledger_group_name(enum ledger_group group); /* "messages", ... */
const char *counter_name(enum counter c);               /* inside its group */

/* Does the first counter of this ledger equal the sum of the others? Of groups that are
 * no ledger: true. */
bool ledger_balanced(const struct ledger_values *v, enum ledger_group group);
/* All three ledgers, and frames due = decoded + filled + missing. On false, text says
 * which is off by how much. */
bool ledger_check(const struct ledger_values *v, char *text, size_t n_text);

#endif
