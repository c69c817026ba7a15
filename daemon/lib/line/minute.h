/* What a line counted and measured in the last minute, from looks at its totals every ten seconds:
 * the data thread does nothing for it. Of one reading thread. */
#ifndef LINE_MINUTE_H
#define LINE_MINUTE_H

#include <stdint.h>

#include "line/histogram.h"
#include "line/ledger.h"
#include "line/line.h"

#define MINUTE_STEP_NS 10000000000ull
#define MINUTE_MARKS 7 /* the oldest is 60 to 70 seconds old, or the start */

struct minute_mark {
    uint64_t t_ns;
    struct ledger_values total;
    struct histogram_copy times[TIME_SPARE];
};

/* All 0: nothing was seen yet. */
struct minute {
    struct minute_mark mark[MINUTE_MARKS]; /* a ring */
    uint64_t n_marks;                      /* ever made */
};

struct minute_values {
    uint64_t span_ns; /* that it covers */
    /* Counted in it; of LEDGER_STATE only STATE_BUDGET_MISSES is a count. */
    struct ledger_values counts;
    struct histogram_summary times[N_TIMES];
};

/* At the start of the line, and then at least every ten seconds. */
void minute_look(struct minute *m, struct line *line, uint64_t now_ns);
/* Since the oldest look that is kept. */
void minute_read(const struct minute *m, struct line *line, uint64_t now_ns,
                 struct minute_values *out);

#endif
