/* Does more than one source send as this stream? For people: nothing of it is carried from entry to
 * entry, and no frame depends on it. One thread notes (its data loop), any reads. */
#ifndef LINE_SOURCES_H
#define LINE_SOURCES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "line/trust.h"

#define SOURCES_KNOWN 4        /* told apart by their numbers */
#define SOURCES_MOST_BINS 63   /* in a second that may be other than what was decoded */
#define SOURCES_BINS 10        /* instead of a safe-exit that is no number */
#define SOURCES_RETURNS 3      /* of sources that were heard before, each after a short run */
#define SOURCES_RUN_MESSAGES 8 /* a run is short when it has fewer messages, ... */
#define SOURCES_NS 1000000000u /* ... or took less */

struct sources_run {
    uint32_t who; /* of known */
    uint64_t n_messages, n_bins, t_first_ns;
};

struct sources {
    struct trust_place known[SOURCES_KNOWN];
    uint64_t heard[SOURCES_KNOWN], n_heard; /* heard: number of its newest message; 0: free */
    struct sources_run run;                 /* messages of one source in a row */
    uint64_t n_returns;
    uint64_t n_between; /* bins of the runs that they ended */

    struct {
        uint64_t seq, print; /* print 0: nothing was decoded here */
    } decoded[SEQUENCE_MAX_WINDOW];
    uint64_t t_other_ns[SOURCES_MOST_BINS + 1], n_other; /* bins other than what was decoded */
    uint64_t n_all;                                      /* of both kinds */

    _Atomic uint64_t n, epoch, seq; /* bins of another source, as last named; the last of them */
};

struct sources_seen {
    uint64_t n; /* 0: one source, as far as one can tell */
    uint64_t epoch, seq;
};

/* What a bin said, to compare it with what comes under its number again; never 0. */
uint64_t sources_print(const float *counts, uint32_t n_channels, uint64_t t_source_ns,
                       uint64_t event_id);
/* A message, whatever becomes of it. most_bins: of safe-exit; 0: it is no number. */
void sources_on_message(struct sources *s, const struct trust_rules *rules, uint32_t most_bins,
                        const struct trust_message *m);
void sources_on_decoded(struct sources *s, uint64_t seq, uint64_t print);
/* A bin that is not decoded, under a number of before. print 0: the decoder could not take it. */
void sources_on_repeated(struct sources *s, const struct trust_rules *rules, uint32_t most_bins,
                         const struct trust_place *bin, uint64_t print, uint64_t t_recv_ns);
/* A new incumbent: its numbers say nothing of those before. */
void sources_on_restart(struct sources *s);
void sources_read(const struct sources *s, struct sources_seen *out);

#endif
