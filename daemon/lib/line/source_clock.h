/* The clock of a source, by this machine's: when, here, was what its clock calls t_source_ns? A
 * bin's offset, here minus there when it is seen, is the difference of the clocks plus the time
 * that it took; so the least offsets are those of bins that took least, and the line beneath them
 * is the difference of the clocks plus the least time. What every bin takes cannot be seen. Pure
 * functions of state and arguments; what is told is for people.
 *
 * The offset is that of the least of 64 cells of time, 15 s together; the drift that of the least
 * of spans of 16 cells, 120 s together, by least squares. A bin that comes later than the line has
 * waited: the line rises no faster than clocks drift, however many come late. What a source's clock
 * itself shows, against the numbers of its bins, is no waiting; nor, after a pause, is the
 * whole of it if it stays: what waited catches up; a clock that stood with its source does not. */
#ifndef LINE_SOURCE_CLOCK_H
#define LINE_SOURCE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_CLOCK_CELLS 64           /* of the offset */
#define SOURCE_CLOCK_CELL_NS 234375000u /* each; of a stream with longer bins, a bin */
#define SOURCE_CLOCK_SPAN_CELLS 16
#define SOURCE_CLOCK_SPANS 32          /* of the drift ... */
#define SOURCE_CLOCK_LEAST_SPANS 8     /* ... and from so many on, 30 s, it is known */
#define SOURCE_CLOCK_LEARNING 10       /* cells with a bin until the offset is known */
#define SOURCE_CLOCK_PERSISTS 3        /* messages in a row that make a step, or a fall */
#define SOURCE_CLOCK_STEP_NS 20000000  /* further off: another clock */
#define SOURCE_CLOCK_GAP_NS 1000000000 /* nothing came, and all is late by that: likewise */
#define SOURCE_CLOCK_FALL_NS 1000000   /* so far below the line one message proves nothing */
#define SOURCE_CLOCK_DEAD_NS 50000     /* so little above it, the line stays */
#define SOURCE_CLOCK_RISE_PPB 10000    /* beyond the drift, at most */
#define SOURCE_CLOCK_MOST_PPB 500000   /* of a clock's drift */

/* The least offset of a stretch of time, and the least pace: t_source_ns minus number x bin. at 0:
 * none. Offsets, paces and times are modulo 2^64. */
struct source_cell {
    uint64_t at; /* 1 + number of the stretch */
    uint64_t t_ns, offset_ns, pace_ns;
};

struct source_clock {
    bool is_started, has_drift;
    bool is_no_clock;                /* its times run as no clock does */
    uint32_t n_cells;                /* with a bin, at most SOURCE_CLOCK_LEARNING */
    uint32_t n_gap_cells;            /* since a pause, that are all late by it */
    uint32_t n_below, n_above;       /* messages in a row that speak for another offset */
    uint64_t n_steps;                /* of a known clock */
    uint64_t t_ns;                   /* of the newest message */
    uint64_t offset_ns, t_offset_ns; /* the line, at a time on it */
    uint64_t pace_ns;                /* least, while the line was the least of the cells */
    int64_t drift_ppb;               /* of the offset; of the source's clock it is the opposite */
    uint64_t drift_error_ppb;
    uint64_t t_touch_ns; /* of the bin that the line is beneath */
    uint64_t lag_ns;     /* of the line behind the least of the cells */
    uint64_t risen_ns;   /* of the line beyond its drift, forgotten within hours */
    uint64_t shown_ns;   /* by which the source's clock seems to have been set back */
    uint64_t gap_ns;     /* of that pause; 0: none, or it is settled */
    uint64_t spread_ns;  /* a quarter of the cells are within it above the line */
    struct source_cell cell[SOURCE_CLOCK_CELLS], span[SOURCE_CLOCK_SPANS];
};

/* Of a source that starts. */
void source_clock_init(struct source_clock *c);
/* A message is seen whose newest bin, of that number, ended at t_source_ns, not 0. */
void source_clock_on_message(struct source_clock *c, uint64_t bin_ns, uint64_t seq,
                             uint64_t t_source_ns, uint64_t t_seen_ns);
/* false also where its times run as no clock does. */
bool source_clock_is_known(const struct source_clock *c);
/* Its time by this machine's clock, had its newest message come as fast as any. */
uint64_t source_clock_here_ns(const struct source_clock *c, uint64_t t_source_ns);
/* The time so given is at most so far from the truth, less the shortest way of a bin. */
uint64_t source_clock_uncertainty_ns(const struct source_clock *c);

/* ---- telling ---- */

enum source_clock_state {
    SOURCE_CLOCK_WAITING,     /* for a bin */
    SOURCE_CLOCK_UNSTAMPED,   /* the newest bin told no time */
    SOURCE_CLOCK_LEARNING_IT, /* for another moment */
    SOURCE_CLOCK_ESTIMATED,
    SOURCE_CLOCK_EXACT,    /* it is this machine's */
    SOURCE_CLOCK_NO_CLOCK, /* its times run as no clock does: off by more than 500 ppm */
    SOURCE_CLOCK_N_STATES,
};
const char *source_clock_state_name(enum source_clock_state state);

/* One thread tells (its data loop), any reads; numbers may be of neighbouring messages. */
struct source_clock_told {
    _Atomic uint64_t state, offset_ns, uncertainty_ns, drift_ppb, drift_error_ppb, n_steps;
};

struct source_clock_seen {
    enum source_clock_state state;
    int64_t offset_ns;           /* here less there, and the least time on the way */
    uint64_t uncertainty_ns;     /* of it; 0 while it is not estimated */
    double ppm, ppm_uncertainty; /* the source is faster by; both 0: not known */
    uint64_t n_steps;            /* times that it was set, since the source started */
};

void source_clock_tell(struct source_clock_told *told, const struct source_clock *c,
                       enum source_clock_state state);
void source_clock_read(const struct source_clock_told *told, struct source_clock_seen *out);

#endif
