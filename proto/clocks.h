/* Clocks of other machines: when, on our clock, a frame was published.
 *
 * The offset receipt - publication is the difference of the clocks plus the time the
 * frame took, so the smallest offset stands for a frame that did not wait, and frames
 * that waited look as old as they are. One frame proves nothing: it may have waited, or
 * lie; nor do many that a queue let go together: those within CLOCKS_SPREAD_NS of one
 * another count as one. An offset is believed once CLOCKS_FRAMES frames, over at least
 * valid_for, came within CLOCKS_SPREAD_NS of it with none smaller that is worth as much.
 *
 * Clocks drift: what is believed rises to the least offset of the newest window, but from the
 * last frame that had it no faster than clocks do. A queue that stands looks ever less old, as
 * slowly. */
#ifndef LATENT_CLOCKS_H
#define LATENT_CLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCKS_FRAMES 10
#define CLOCKS_SPREAD_NS 1000000
#define CLOCKS_WINDOW_NS 10000000000 /* whose least offset the believed one rises to ... */
#define CLOCKS_DRIFT_PPM 100         /* ... this fast at most */
#define CLOCKS_MISSES 256            /* frames without support that end a candidate */
#define CLOCKS_MAX 16                /* remembered; the one not heard for longest gives way */

/* The smallest offset that is not believed yet. n 0: none. */
struct clocks_candidate {
    int64_t low_ns, high_ns;          /* offsets */
    int64_t t_first_ns, t_counted_ns; /* receipt: of the first, of the last that counted */
    unsigned n, n_missed;
};

struct clocks_clock {
    uint64_t id, last_heard; /* last_heard 0: the slot is free */
    bool known;
    int64_t offset_ns;          /* believed */
    int64_t base_ns, t_base_ns; /* it was that of a frame then */
    int64_t t_window_ns;        /* receipt of its first frame */
    int64_t low_ns, t_low_ns;   /* the least in it, and its receipt */
    unsigned n_window;
    struct clocks_candidate candidate;
};

struct clocks {
    struct clocks_clock clocks[CLOCKS_MAX];
    uint64_t n_heard;
};

struct clocks_frame {
    uint64_t clock_id, t_publish_ns, valid_for_ns;
};

/* Learn from a frame received at t_receipt_ns, and say when it was published on our
 * clock: true, or false while its clock is not known (then the best guess). An offset
 * below the believed one by less than valid_for is one of a frame that waited less. */
bool clocks_on_frame(struct clocks *c, const struct clocks_frame *f, int64_t t_receipt_ns,
                     int64_t *t_published_ns);
/* Frames that support what may become the offset of this clock. */
unsigned clocks_n_support(const struct clocks *c, uint64_t clock_id);
/* a - b for numbers that may be anything: wraps where it would overflow. */
int64_t clocks_difference_ns(uint64_t a, uint64_t b);

#endif
