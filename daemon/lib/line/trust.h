/* Which numbers are believed. A message is of the source that is decoded, the incumbent, unless its
 * numbers cannot be. What is not is refused, until it shows that it is a source which has taken the
 * incumbent's place. Pure functions of state and arguments. */
#ifndef LINE_TRUST_H
#define LINE_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "line/sequence.h"

#define TRUST_BEHIND_BINS 1024 /* so far behind, a number is not late but of another count */
#define TRUST_MESSAGES 3       /* that agree with each other, none of the incumbent between, ... */
#define TRUST_BINS 2           /* ... and arrive over at least so many bins: a restart */

struct trust_rules {
    uint64_t max_jump_bins; /* 0: whatever comes is believed: contract 1, records of before */
    uint64_t silent_ns;     /* so long without the incumbent, and a new epoch is believed at once;
                               0: never */
    uint64_t bin_ns;
};

/* Where a source is: the number and time of its newest bin. t_source_ns 0: it tells none. */
struct trust_place {
    uint64_t epoch, seq, t_source_ns;
};

struct trust_message {
    struct trust_place first, last; /* of its bins */
    uint64_t t_recv_ns;
};

struct trust {
    uint64_t t_heard_ns;      /* arrival of the incumbent's newest message */
    uint64_t t_source_ns;     /* of its newest decoded bin that told it; 0: none did */
    uint32_t n_claims;        /* messages in a row that agree with each other, not with it ... */
    struct trust_place claim; /* ... how far they got ... */
    uint64_t t_claim_ns;      /* ... and when the first of them arrived */
};

enum trust_verdict {
    TRUST_INCUMBENT, /* of the source that is decoded; the first of all is */
    TRUST_RESTART,   /* its first bin that is fit for the decoder starts a new incumbent */
    TRUST_JUMP,      /* refused: the number cannot be */
    TRUST_TIME,      /* refused: the time cannot be */
    TRUST_SOURCE,    /* refused: of another epoch */
};

/* Can a source that was at `from` be at `to` now, whichever is the older? */
bool trust_reaches(const struct trust_rules *rules, const struct trust_place *from,
                   const struct trust_place *to);
enum trust_verdict trust_judge(const struct trust *t, const struct trust_rules *rules,
                               const struct sequence *s, const struct trust_message *m);
/* Make the verdict so. A restart is only one when a bin of it was taken: trust_begin. */
void trust_apply(struct trust *t, const struct trust_rules *rules, enum trust_verdict verdict,
                 const struct trust_message *m);
/* A bin of a new incumbent is decoded. */
void trust_begin(struct trust *t, uint64_t t_source_ns, uint64_t t_recv_ns);
/* A bin of the incumbent is decoded. */
void trust_on_bin(struct trust *t, uint64_t t_source_ns);

#endif
