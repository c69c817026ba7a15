/* What the contract asks of a line, reckoned from what was injected: a second, slow and
 * plain account of sequence, policies and SAFE that shares no code with the line. */
#ifndef CONTRACT_ORACLE_H
#define CONTRACT_ORACLE_H

#include "line/line.h"
#include "wire.h"

enum {
    ORACLE_MAX_BATCH = 20,
    ORACLE_N_READOUT = 2,
    ORACLE_N_LATENTS = 2,
    ORACLE_MAX_PACE = 64,
    ORACLE_HISTORY = 1024
};

/* How it was known when a bin ended. */
enum { ORACLE_EXACT, ORACLE_ESTIMATED, ORACLE_UNKNOWN, ORACLE_N_ENDS };

enum bin_kind { BIN_GOOD, BIN_NOT_FINITE, BIN_HUGE /* the output is not finite */ };
enum parcel_kind { PARCEL_BINS, PARCEL_GARBAGE, PARCEL_PARTS, PARCEL_WIDTH };

/* A message as the network delivers it. */
struct parcel {
    uint64_t t_ns; /* of its delivery */
    enum parcel_kind kind;
    uint64_t epoch, seq, t_source_ns, clock_id;
    uint32_t n_bins, marks; /* marks of its first bin */
    enum bin_kind bin[ORACLE_MAX_BATCH];
    float value[ORACLE_MAX_BATCH]; /* of all channels of each bin */
};

struct seen_frame {
    struct wire_frame frame;
    float readout[ORACLE_N_READOUT], latents[ORACLE_N_LATENTS];
    float decoded[ORACLE_N_READOUT],
        decoded_latents[ORACLE_N_LATENTS]; /* by a decoder of its own */
    bool refused;                          /* the sink did not take it: no consumer sees it */
};

/* One entry: what the clock said and what left, in order. */
struct entry_trace {
    const uint64_t *reading;
    size_t n_readings;
    const struct seen_frame *frame;
    size_t n_frames;
};

/* Where a source was with its numbers, as far as messages told. */
struct oracle_source {
    uint64_t epoch, seq, t_source_ns; /* 0: tells no times */
};

enum whose { WHOSE_INCUMBENT, WHOSE_SUCCESSOR, WHOSE_JUMP, WHOSE_OTHER };

enum history { HISTORY_NOTHING, HISTORY_CAME, HISTORY_MADE, HISTORY_LEFT };

/* Bins of the message that was taken last and wait for their steps. */
struct oracle_open {
    struct parcel parcel;
    uint32_t next; /* bin */
    uint64_t t_recv_ns;
    enum whose whose;
    bool is_timed, is_exact; /* the source's clock was looked at for it; is said to be ours */
    bool is_judged, gap;     /* bin `next` is for the decoder; bins before it did not come */
    uint64_t n_fill;         /* frames that are still due before it */
    bool fills;              /* some were made */
};

struct oracle {
    const struct line_options *options;
    const struct latent_readout *readout; /* [ORACLE_N_READOUT] */
    uint64_t bin_ns, seed, t_free_ns;     /* t_free: since when the daemon could act */

    bool started, has_previous;
    uint64_t epoch, previous, newest, n_ahead, n_suspect;
    uint64_t t_source_ns, t_incumbent_ns; /* the newest time it told; its newest arrival */
    struct oracle_source rival;           /* not believed yet ... */
    uint64_t n_rival, t_rival_ns;         /* ... its messages in a row, the arrival of the first */
    struct {
        uint64_t seq;
        enum history what;
    } history[ORACLE_HISTORY];
    uint64_t count[N_COUNTERS]; /* what every counter must say */

    bool safe, asked, locked, stopped;     /* stopped: for good */
    uint64_t n_good, t_good_ns, t_safe_ns; /* t_safe: the ramp is over by then */
    bool leaving;                          /* the readout is on its way from neutral ... */
    uint64_t t_left_ns;                    /* ... so long already, between frames */
    struct {
        uint64_t seq, t_ns;
    } pace[ORACLE_MAX_PACE]; /* bins decoded last, the newest first */
    size_t n_pace;
    bool has_pace;
    uint64_t t_zero_ns;        /* when bin 0 would have come, by the pace */
    struct source_clock clock; /* tested by itself: what is asked here is when it is fed and read */
    bool has_end;              /* it is known when bin end_seq ended, here */
    uint64_t end_seq, t_end_ns;
    uint64_t n_ends[ORACLE_N_ENDS];
    uint64_t n_misclaimed; /* messages that cannot be by our clock, as they say */
    uint64_t n_same;       /* bins with the value of the last */
    float last_value;
    uint64_t silence_bins, repeat_bins, silent_lease_bins; /* too many of them; and for SAFE */
    bool heard, ticked;                                    /* ticked: by the entry before */
    uint64_t t_heard_ns, t_decoded_ns, t_made_ns;

    uint64_t decoder_id;    /* in use ... */
    bool is_swapped;        /* ... and consumers have no frame of it yet */
    uint32_t n_latents;     /* of it, that a held frame shows */
    struct seen_frame last; /* seen by consumers */
    bool has_last;
    uint64_t pub_seq, n_restarts_seen;
    struct oracle_open open;
    const struct entry_trace *trace; /* of the entry being judged ... */
    size_t at_reading, at_frame;     /* ... and how far it is told */
};

/* Of the operator, and the end of the daemon in order. */
enum operator_act { OPERATOR_RESET, OPERATOR_SAFE_ON, OPERATOR_SAFE_OFF, OPERATOR_STOP };

void oracle_init(struct oracle *o, const struct line_options *options,
                 const struct latent_info *info, uint64_t seed);
/* Each fails the test, with the seed, when the line did not do what it must. */
void oracle_on_parcel(struct oracle *o, const struct parcel *parcel, uint64_t now_ns,
                      uint64_t t_recv_ns, const struct entry_trace *trace);
/* A message is open. */
bool oracle_is_open(const struct oracle *o);
/* One step of that message. */
void oracle_on_step(struct oracle *o, uint64_t now_ns, const struct entry_trace *trace);
void oracle_on_tick(struct oracle *o, uint64_t now_ns, bool waits, const struct entry_trace *trace);
void oracle_on_operator(struct oracle *o, enum operator_act act, uint64_t now_ns,
                        const struct entry_trace *trace);
/* Another decoder, which has done all that this one has. */
void oracle_on_promotion(struct oracle *o, uint64_t decoder_id, const struct entry_trace *trace);
/* Every counter of the ledgers. */
void oracle_check(const struct oracle *o, const struct ledger_values *v);
/* What a consumer acts on at this time: the last frame while it is valid, else neutral. */
bool oracle_is_neutral(const struct oracle *o, uint64_t now_ns);

#endif
