/* What epoch and sequence number of a bin say: next, after a gap, duplicate, stale,
 * late, or a restarted source. Pure functions of state and arguments. Which numbers may
 * come here is for trust.h to say; where that believes any, for records of before,
 * restarts are found here. */
#ifndef LINE_SEQUENCE_H
#define LINE_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#define SEQUENCE_MAX_WINDOW 1024     /* bins; power of two */
#define SEQUENCE_RESTART_BEHIND 1024 /* bins behind that hint at a restarted source ... */
#define SEQUENCE_RESTART_BINS 3      /* ... when as many bins in a row say so */

struct sequence_rules {
    uint32_t window_bins;  /* reorder window, 1 .. SEQUENCE_MAX_WINDOW */
    uint64_t max_gap_bins; /* a longer gap resets */
    bool fill;             /* gaps are filled; else they reset */
};

/* What is known of one sequence number inside of the window. */
enum sequence_slot { SLOT_UNKNOWN, SLOT_RECEIVED, SLOT_FILLED, SLOT_SKIPPED };

struct sequence {
    struct sequence_rules rules;
    bool started, has_previous;
    uint64_t epoch, previous_epoch;
    uint64_t newest;    /* highest sequence number taken */
    uint64_t n_ahead;   /* bins since the last that came for which a frame was made */
    uint32_t n_suspect; /* bins in a row that look like a restarted source */
    uint8_t slot[SEQUENCE_MAX_WINDOW];
    /* Running balances. */
    uint64_t n_lost, n_reordered, n_restarts;
};

enum sequence_outcome {
    SEQUENCE_DECODE,
    SEQUENCE_DUPLICATE,       /* received before, inside of the window */
    SEQUENCE_STALE,           /* behind, and neither of the other two */
    SEQUENCE_LATE_AFTER_FILL, /* inside of the window, but a frame was made for it
                                 already */
};

struct sequence_verdict {
    enum sequence_outcome outcome;
    uint64_t epoch, seq;
    uint64_t n_missing; /* bins between the newest and this one */
    uint64_t n_fill;    /* of them, to be filled: the last n_fill before seq */
    bool after_gap;     /* bins before this one did not come */
    bool reset;         /* the decoder starts anew with this bin */
    bool restart;       /* because the source did */
    bool suspect;       /* not taken, but may be a restarted source */
    bool reordered;     /* not taken, was counted as lost, but came after all */
};

/* Could this state, from outside, be one of these rules? */
bool sequence_is_sound(const struct sequence *s, const struct sequence_rules *rules);
void sequence_init(struct sequence *s, const struct sequence_rules *rules);
/* Judge a bin; changes nothing. */
void sequence_check(const struct sequence *s, uint64_t epoch, uint64_t seq,
                    struct sequence_verdict *v);
/* The verdict of a bin that starts a new source, whatever its number. */
void sequence_restart(uint64_t epoch, uint64_t seq, struct sequence_verdict *v);
/* Make the verdict of the latest check so. A bin refused for its content is not
 * applied: it stays missing. */
void sequence_apply(struct sequence *s, const struct sequence_verdict *v);
/* The next bin does not come in time and a frame is made for it: it is filled. false:
 * max_gap_bins were made since the last that came, or there is no next number. */
bool sequence_advance(struct sequence *s);

#endif
