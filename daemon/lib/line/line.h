/* The line of one stream: message in, frames out, everything counted. No sockets, no
 * event loop, no clock of its own: time comes from struct pipeline_clock, frames leave
 * through struct pipeline_sink.
 *
 * Real-time rule. The entries and pipeline_save allocate nothing, take no lock, log
 * nothing, do no I/O, never wait and make no system call, provided that the clock, the
 * sink and the tap do not. They belong to one thread. The pipeline_read functions may
 * be called by any thread.
 *
 * The same again. Everything that is not in the snapshot, the options and the model
 * comes in through an entry, the clock or the sink, and the tap hears all three. A line
 * that was given the snapshot, and is then given the entries, with a clock and a sink
 * that answer as they did, makes the same frames bit by bit. */
#ifndef LINE_LINE_H
#define LINE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latent.h"
#include "line/event.h"
#include "line/histogram.h"
#include "line/ledger.h"
#include "line/policy.h"
#include "line/sequence.h"

#define PIPELINE_MAX_PAYLOAD (1u << 20) /* bytes; no stream's bound is larger */
#define PIPELINE_MAX_TOPIC 64

struct pipeline_clock {
    uint64_t (*now_ns)(void *ctx); /* CLOCK_MONOTONIC, or a test's own */
    void *ctx;
};

/* Takes one frame; 0, or negative when it could not. Must not block. */
struct pipeline_sink {
    int (*send)(void *ctx, const char *topic, const void *bytes, size_t n_bytes);
    void *ctx;
};

struct pipeline_options {
    const char *name;               /* of the stream; topic NAME/frame */
    struct sequence_rules sequence; /* fill follows from policy.on_gap */
    uint64_t budget_ns;             /* t_recv to t_publish; above it LATE */
    uint64_t valid_for_ns;          /* echoed in every frame */
    uint64_t clock_id;              /* echoed in every frame */
    struct line_policy policy;
    bool send_readout; /* the readout group is configured: SAFE frames carry neutral
                          values */
};

enum pipeline_state {
    PIPELINE_WAITING, /* for the first bin */
    PIPELINE_RUNNING,
    PIPELINE_OUTSIDE,    /* of a trial */
    PIPELINE_SILENT,     /* no bin comes; on-missing */
    PIPELINE_FAILED,     /* SAFE since an output was not finite; the decoder was reset */
    PIPELINE_SAFE_LEASE, /* SAFE for the other reasons of enum safe_reason */
    PIPELINE_SAFE_MISSING,
    PIPELINE_SAFE_LATE,
    PIPELINE_SAFE_OPERATOR,
    PIPELINE_STOPPING,
    PIPELINE_N_STATES,
};
const char *pipeline_state_name(enum pipeline_state state);

/* Times of decoded bins. */
enum pipeline_time {
    TIME_QUEUEING,   /* wake that found the message -> start of the step */
    TIME_DECODING,   /* the step */
    TIME_PUBLISHING, /* t_publish -> the sink has it */
    TIME_LATENCY,    /* t_recv -> t_publish */
    TIME_SPARE,      /* bin width - latency, at least 0; p99: 99 % of the bins had as much */
    N_TIMES,
};
const char *pipeline_time_name(enum pipeline_time time);

struct pipeline;

/* A line around decoder d of the model described by info; both must outlive it. All
 * memory is taken, and touched, here. d must be able to predict if the policy has it
 * predict. 0, LATENT_E_NOMEM, or LATENT_E_UNSUPPORTED: on-gap = mean, and the model has
 * no channel_mean. */
int pipeline_new(struct pipeline **out, latent_decoder *d, const struct latent_info *info,
                 const struct pipeline_options *options, struct pipeline_clock clock,
                 struct pipeline_sink sink);
void pipeline_free(struct pipeline *p); /* NULL is allowed */

/* From now on told everything (tap.h). In the thread of the entries, or before it runs. */
void pipeline_set_tap(struct pipeline *p, struct line_tap tap);

/* ---- entries ---- */

/* The payload of a message, found by a wake at t_recv_ns. */
void pipeline_on_frame(struct pipeline *p, const void *payload, size_t n_bytes, uint64_t t_recv_ns);
/* A message that was not topic and payload. */
void pipeline_refuse_parts(struct pipeline *p);
/* Reset the decoder before the next bin. */
void pipeline_reset(struct pipeline *p);
/* The operator wants SAFE: a frame at once, then one a bin or bin period, until he
 * takes it back; then the bins of safe-exit end it. */
void pipeline_safe_on(struct pipeline *p, uint64_t now_ns);
void pipeline_safe_off(struct pipeline *p);
/* The daemon ends: SAFE for good. */
void pipeline_stop(struct pipeline *p, uint64_t now_ns);
/* Time has come as far as pipeline_next_tick_ns said (UINT64_MAX: nothing is due before
 * the next entry). Input that waits is to be entered first: it is not missing. */
void pipeline_on_tick(struct pipeline *p, uint64_t now_ns);
uint64_t pipeline_next_tick_ns(const struct pipeline *p);
/* SAFE, and a frame with the readout at neutral was made. */
bool pipeline_is_at_rest(const struct pipeline *p);
/* Any of the above, as the tap heard it. */
void pipeline_enter(struct pipeline *p, const struct line_event *entry);

/* ---- snapshots ---- */

/* Line and decoder between two entries; counters and times are not in it. size: bytes
 * needed. It fits a line of the same build, model and options. 0 or LATENT_E_SHAPE: n
 * is too small. */
size_t pipeline_size(const struct pipeline *p);
int pipeline_save(const struct pipeline *p, void *buf, size_t n);
/* 0 or LATENT_E_SNAPSHOT: of another line, or damaged; p is then as before. */
int pipeline_load(struct pipeline *p, const void *buf, size_t n);

/* ---- telling ---- */

/* Largest payload taken, bytes. */
size_t pipeline_max_payload(const struct pipeline *p);
bool pipeline_read(struct pipeline *p, struct ledger_values *out);
void pipeline_read_time(struct pipeline *p, enum pipeline_time time, struct histogram_summary *out);

#endif
