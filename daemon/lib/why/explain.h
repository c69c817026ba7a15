/* Why a late bin was late: the time from what its budget counts from to its frame, in parts that
 * add up to it. Pure functions of what the data loop and the sampler saw. */
#ifndef WHY_EXPLAIN_H
#define WHY_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line/late.h"

#define WHY_MAX_STREAMS 4 /* others that are named; the rest is WHY_OTHERS */
#define WHY_NAME_BYTES 72 /* of a stream, with the zero; a longer one is cut */
#define WHY_SPANS 8192    /* turns of a loop that are remembered; a power of two */
#define WHY_SPAN_WORDS 3  /* struct why_span */
#define WHY_UNKNOWN_NS UINT64_MAX

enum why_part {
    WHY_SOURCE,    /* it was not here yet: its source, and its way */
    WHY_STOPPED,   /* the whole process stood still */
    WHY_PROCESSOR, /* the data thread was ready to run, and others ran */
    WHY_STREAM,    /* behind the work of another stream of its loop */
    WHY_OTHERS,    /* behind that of further streams */
    WHY_OWN,       /* behind earlier bins, and messages, of its own stream */
    WHY_STEP,      /* its own step */
    WHY_UNKNOWN,   /* the rest */
    WHY_N_PARTS,
};
/* "source", "stopped", "processor", "stream", "others", "own", "step", "unknown" */
const char *why_part_name(enum why_part part);
bool why_part_find(const char *name, enum why_part *out);

/* A turn of a data loop: from one look at the clock to another it worked for one of its streams. */
struct why_span {
    uint64_t from_ns, to_ns;
    uint64_t place; /* of the stream in its loop */
};

/* What the sampler saw of a data loop's thread. */
struct why_sample {
    uint64_t from_ns, to_ns; /* since the sample before, up to this one */
    uint64_t stopped_ns;     /* in which the sampler itself neither ran, nor waited, nor slept as it
                              * wanted to */
    uint64_t delay_ns;       /* the thread waited for a processor; WHY_UNKNOWN_NS: not told */
    uint64_t n_delays;       /* at most so many times */
};

struct why_wait {
    enum why_part part;
    char stream[WHY_NAME_BYTES]; /* of WHY_STREAM */
    uint64_t ns;
};

#define WHY_MAX_WAITS (WHY_N_PARTS + WHY_MAX_STREAMS)

struct why_bin {
    struct late_bin bin;
    bool knows_spans;               /* the turns of its loop were still there, all of them */
    bool knows_processor;           /* the kernel told the waits of its thread */
    uint64_t steal_ns, steal_of_ns; /* that the machine lost to others on its host, of all its
                                     * processors, in that time around it; 0, 0: not told */
    size_t n_waits;
    struct why_wait waits[WHY_MAX_WAITS]; /* largest first; they add up to why_whole_ns */
};

/* A part of the time that has one cause, as long as none better is known. */
struct why_piece {
    uint64_t from_ns, to_ns;
    uint64_t left_ns; /* not explained otherwise */
    uint64_t place;
    enum why_part part;
};

#define WHY_PIECES (2 * WHY_SPANS + 8)

/* What is known. Spans and samples in the order of time; the arrays stay the caller's. */
struct why_known {
    const struct why_span *spans; /* of its loop */
    size_t n_spans;
    uint64_t spans_from_ns; /* before it they are not all there */
    const struct why_sample *samples;
    size_t n_samples;
    uint64_t place;           /* of its stream */
    const char *const *names; /* of streams, by their places */
    size_t n_names;
    struct why_piece *pieces; /* [WHY_PIECES], to work in */
};

/* From what its budget counts from to its frame. */
uint64_t why_whole_ns(const struct late_bin *bin);
/* What of a sampler's time it did not sleep, run or wait for a processor: then nobody in the
 * process ran. Less than least_ns is none. */
uint64_t why_stopped_ns(uint64_t wall_ns, uint64_t slept_ns, uint64_t ran_ns, uint64_t delay_ns,
                        uint64_t least_ns);
void why_explain(struct why_bin *out, const struct late_bin *bin, const struct why_known *known);

#endif
