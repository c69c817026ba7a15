/* The line of one stream: message in, frames out, everything counted. No sockets, no
 * event loop, no clock of its own: time comes from struct line_clock, frames leave
 * through struct line_sink.
 *
 * Real-time rule. The entries and line_save allocate nothing, take no lock, log
 * nothing, do no I/O, never wait and make no system call, provided that the clock, the
 * sink and the taps do not. They belong to one thread. The line_read functions may
 * be called by any thread.
 *
 * The same again. Everything that is not in the snapshot, the options and the model
 * comes in through an entry, the clock or the sink, and the taps hear all three. A line
 * that was given the snapshot, and is then given the entries, with a clock and a sink
 * that answer as they did, makes the same frames bit by bit. A decoder that is promoted is restored
 * from the snapshot in its entry first. */
#ifndef LINE_LINE_H
#define LINE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latent.h"
#include "line/event.h"
#include "line/histogram.h"
#include "line/late.h"
#include "line/latest.h"
#include "line/ledger.h"
#include "line/misfit.h"
#include "line/policy.h"
#include "line/seat.h"
#include "line/sequence.h"
#include "line/source_clock.h"
#include "line/sources.h"
#include "line/trust.h"

#define LINE_MAX_TAPS 6
#define LINE_CONTRACT 2

struct line_clock {
    uint64_t (*now_ns)(void *ctx); /* CLOCK_MONOTONIC, or a test's own */
    void *ctx;
};

/* Takes one frame; 0, or negative when it could not. Must not block. */
struct line_sink {
    int (*send)(void *ctx, const char *topic, const void *bytes, size_t n_bytes);
    void *ctx;
};

struct line_options {
    const char *name;               /* of the stream; topic NAME/frame */
    struct sequence_rules sequence; /* fill follows from policy.on_gap */
    uint64_t max_jump_bins;         /* 0: any number is believed, for records of before */
    uint64_t budget_ns;             /* t_recv to t_publish; above it LATE */
    uint64_t valid_for_ns;          /* echoed in every frame */
    uint64_t clock_id;              /* echoed in every frame */
    enum line_source_clock source_clock;
    uint64_t
        min_delay_ns; /* what every bin takes from its end to its arrival, of an estimated age */
    struct line_policy policy;
    bool any_finite;   /* bins of any finite values, whatever the model takes: for records made
                          before models said what they take */
    uint32_t contract; /* LINE_CONTRACT, or 1: what records of before hold (README.md) */
    bool send_readout; /* the readout group is configured: SAFE frames carry neutral
                          values */
};

enum line_state {
    LINE_STATE_WAITING, /* for the first bin */
    LINE_STATE_RUNNING,
    LINE_STATE_OUTSIDE,    /* of a trial */
    LINE_STATE_SILENT,     /* no bin comes; on-missing */
    LINE_STATE_NO_SIGNAL,  /* bins come with nothing in them; on-silent */
    LINE_STATE_FAILED,     /* SAFE since an output was not finite; the decoder was reset */
    LINE_STATE_SAFE_LEASE, /* SAFE for the other reasons of enum safe_reason */
    LINE_STATE_SAFE_MISSING,
    LINE_STATE_SAFE_LATE,
    LINE_STATE_SAFE_OPERATOR,
    LINE_STATE_SAFE_START,
    LINE_STATE_SAFE_SIGNAL,
    LINE_STATE_SAFE_MASKED,
    LINE_STATE_STOPPING,
    LINE_N_STATES,
};
const char *line_state_name(enum line_state state);

/* Times of decoded bins. */
enum line_time {
    TIME_QUEUEING,   /* wake that found the message -> start of the step */
    TIME_DECODING,   /* the step */
    TIME_PUBLISHING, /* t_publish -> the sink has it */
    TIME_LATENCY,    /* t_recv -> t_publish */
    TIME_SPARE,      /* bin width - latency, at least 0; p99: 99 % of the bins had as much */
    N_TIMES,
};
const char *line_time_name(enum line_time time);

struct line;

/* A line around decoder d of the model described by info; both must outlive it. All
 * memory is taken, and touched, here. d must be able to predict if the policy has it
 * predict. 0, LATENT_E_NOMEM, or LATENT_E_UNSUPPORTED: on-gap = mean, and the model has
 * no channel_mean. */
int line_new(struct line **out, latent_decoder *d, const struct latent_info *info,
             const struct line_options *options, struct line_clock clock, struct line_sink sink);
void line_free(struct line *line); /* NULL is allowed */

/* From the next entry on, tap is told everything (event.h), after those that were there before it.
 * In the thread of the entries, between two of them, or before it runs. false: there are
 * LINE_MAX_TAPS already. */
bool line_add_tap(struct line *line, struct line_tap tap);
size_t line_n_taps(const struct line *line);
/* The tap of this ctx is told no more; then its on_removed is called. Others go on as before. */
void line_remove_tap(struct line *line, const void *ctx);

/* ---- entries ---- */

/* The payload of a message, found by a wake at t_recv_ns. It is checked and copied; its bins wait,
 * so that whatever is more urgent comes before each of their steps. No message may be open. */
void line_on_frame(struct line *line, const void *payload, size_t n_bytes, uint64_t t_recv_ns);
/* A message is open: line_continue is due, and line_on_frame is not. */
bool line_has_work(const struct line *line);
/* At most one step of the decoder for the open message: over its next bin, or for one that is
 * missing before it. Its bins keep the arrival stamp of the message. */
void line_continue(struct line *line);
/* A message that was not topic and payload. */
void line_refuse_parts(struct line *line);
/* Reset the decoder before the next bin. */
void line_reset(struct line *line);
/* The operator wants SAFE: a frame at once, then one a bin or bin period, until he
 * takes it back; then the bins of safe-exit end it. */
void line_safe_on(struct line *line, uint64_t now_ns);
void line_safe_off(struct line *line);
/* The daemon ends: SAFE for good. */
void line_stop(struct line *line, uint64_t now_ns);
/* Next, which may follow (line_may_follow) and whose decoder has done every step that the line's
 * has, decodes from the next bin on; frames carry its id, the first of them SWAPPED. The readout
 * goes on from what consumers have, by slew. Not between the frames that are made for one bin. next
 * stays the caller's until it is handed back: what was in use until now is returned. That of
 * line_new comes back, too, but stays the line's. */
struct line_decoder *line_promote(struct line *line, struct line_decoder *next,
                                  enum line_promotion why);
/* Time has come as far as line_next_tick_ns said (UINT64_MAX: nothing is due before the next
 * entry). Input that waits, in the socket or in an open message, is not missing: with it, only the
 * end of the lease is due, and in SAFE the frames that none of this input makes. */
void line_on_tick(struct line *line, uint64_t now_ns, bool input_waits);
uint64_t line_next_tick_ns(const struct line *line, bool input_waits);
/* SAFE, and a frame with the readout at neutral was made. */
bool line_is_at_rest(const struct line *line);
/* In use. The thread of the entries, as the three that follow. */
struct line_decoder *line_decoder(const struct line *line);
/* The marks say that no trial runs, or the next bin, which has come, begins one. */
bool line_is_at_trial(const struct line *line);
/* Steps of the decoders so far: over bins that came or were filled, and without one. */
uint64_t line_n_steps(const struct line *line);
/* Outputs so far that were not finite. Any thread. */
uint64_t line_n_failed(const struct line *line);
/* Any of the above, as the tap heard it; line_takes tells whether it may come now. */
bool line_takes(const struct line *line, enum line_event_kind entry);
void line_enter(struct line *line, const struct line_event *entry);
/* A message with all its steps as one entry: how latentd worked before messages were opened, and
 * what records of that time hold. */
void line_enter_whole(struct line *line, const struct line_event *entry);

/* ---- snapshots ---- */

/* Line and decoder between two entries, while no message is open; counters and times are not in
 * it. size: bytes needed. It fits a line of the same model and options, of this version or a
 * later one, with a decoder of the same id in use. 0; LATENT_E_SHAPE: n is too small;
 * LATENT_E_UNSUPPORTED: a message is open. */
size_t line_size(const struct line *line); /* any thread */
size_t line_size_with(const struct line_decoder *d);
int line_save(const struct line *line, void *buf, size_t n);
/* Before line_load: another decoder, of the snapshot that is loaded next. The line's own state is
 * the one before until then, and no message is open any more. */
void line_seat(struct line *line, struct line_decoder *d);
/* 0 or LATENT_E_SNAPSHOT: of another line, or damaged; line is then as before. */
int line_load(struct line *line, const void *buf, size_t n);

/* ---- telling ---- */

/* Largest payload taken, bytes. */
size_t line_max_payload(const struct line *line);
/* Bytes of a LINE_MASK. */
size_t line_mask_bytes(const struct line *line);
/* Bytes of a LINE_NORMALISE that loads. */
size_t line_normalisation_bytes(const struct line *line);
/* How the decoder's input is normalised. */
struct line_normalisation {
    struct latent_normalisation now;
    uint64_t decoder_id;
    uint32_t kind;     /* enum latent_normalise */
    double *mean, *sd; /* [C] in use; the caller's, not written where kind is NONE */
};
void line_tell_normalisation(const struct line *line, struct line_normalisation *out);
bool line_read(struct line *line, struct ledger_values *out);
void line_read_misfit(const struct line *line, enum misfit what, struct misfit_seen *out);
void line_read_source_clock(const struct line *line, struct source_clock_seen *out);
void line_read_sources(const struct line *line, struct sources_seen *out);
bool line_read_latest(struct line *line, struct latest_values *out);
/* Bins so far that were later than their budget, and number i of them, from 0. false: it is not
 * among the last LATE_MAX. */
uint64_t line_n_late(struct line *line);
bool line_read_late(struct line *line, uint64_t i, struct late_bin *out);
void line_read_time(struct line *line, enum line_time time, struct histogram_summary *out);
/* An instant of the times, and what came after it; spare time is that of TIME_LATENCY. */
void line_copy_time(struct line *line, enum line_time time, struct histogram_copy *out);
void line_read_time_since(struct line *line, enum line_time time,
                          const struct histogram_copy *since, struct histogram_summary *out);

#endif
