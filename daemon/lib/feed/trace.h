/* What goes through the ring and into the file: each record is one of these structs,
 * followed by bytes where it says so. */
#ifndef FEED_TRACE_H
#define FEED_TRACE_H

#include <stdint.h>

/* A group begins with LOSS, DECODER or ENTRY; all that follows an ENTRY is what the
 * line asked and did because of it, in order. */
enum trace_kind {
    TRACE_LOSS,     /* struct trace_loss */
    TRACE_DECODER,  /* bytes: label of the decoder in the snapshot that follows (line/label.h) */
    TRACE_SNAPSHOT, /* bytes: the line before the next entry, by line_save */
    TRACE_ENTRY,    /* struct trace_event, bytes: the payload */
    TRACE_CLOCK,    /* uint64_t: what the clock said, ns */
    TRACE_ACTION,   /* struct trace_event; what: enum line_action */
    TRACE_OUTCOME,  /* struct trace_event; what: enum counter */
    TRACE_FRAME,    /* struct trace_frame, bytes: the frame; none of them: thinned */
    TRACE_N_KINDS,
};

/* What the record did not get before the entry that follows. */
struct trace_loss {
    uint64_t t_ns; /* of the first entry lost; 0: it has no time, or none was lost */
    uint64_t n_entries, n_frames;
};

struct trace_event {
    uint64_t t_ns, epoch, seq;
    uint32_t kind; /* of an entry: enum line_event_kind */
    uint32_t what;
};

struct trace_frame {
    uint64_t epoch, seq;
    uint32_t flags;
    uint32_t sent; /* 0, or the sink did not take it */
};

#endif
