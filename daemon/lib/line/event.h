/* What a tap hears: everything that comes into a line and everything it does, so that
 * the same code, given the same entries and the same answers of clock and sink, makes
 * the same frames, bit by bit.
 *
 * A tap is called in the data thread and obeys the real-time rule of line.h. The
 * event and its bytes are the line's and end with the call. */
#ifndef LINE_EVENT_H
#define LINE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "latent.h"

/* Names, not numbers, are for files: line_event_name, line_action_name,
 * counter_name. */
enum line_event_kind {
    /* Entries. Told before anything changes: line_save called by the tap gives the
     * state before the entry. line_enter runs one again. */
    LINE_MESSAGE,   /* t_ns: of the wake that found it; bytes: its payload */
    LINE_CONTINUE,  /* one step of the message that is open; t_ns: as above */
    LINE_PARTS,     /* a message that was not topic and payload */
    LINE_TICK,      /* t_ns: now; a frame may be due though no bin came; what: 1 when input waits */
    LINE_RESET,     /* by the operator */
    LINE_SAFE_ON,   /* by the operator; t_ns: now */
    LINE_SAFE_OFF,  /* by the operator */
    LINE_STOP,      /* of the daemon; t_ns: now */
    LINE_PROMOTE,   /* another decoder from here on; what: enum line_promotion; next; bytes: its
                      label (label.h), then its snapshot: what a record needs to have it again */
    LINE_MASK,      /* channels that are not believed; t_ns: now; what: the mask's version; bytes:
                      latent_decoder_mask's */
    LINE_NORMALISE, /* by the operator; t_ns: now; what: enum latent_normalise_act; bytes of LOAD:
                       mean, sd [C] as float64 */
    LINE_RULES,     /* by the operator; t_ns: now; bytes: rules_pack's (rules.h) */
    /* Answers of the world, in the order in which the line asked. */
    LINE_CLOCK, /* t_ns: what the clock said */
    LINE_SENT,  /* what: 0 when the sink took the frame, else 1 */
    /* What the line did. */
    LINE_ACTION,  /* what: enum line_action, for epoch, seq; input: of those that have one */
    LINE_FRAME,   /* bytes: packed, before the sink has it; what: its flags; values: the same */
    LINE_OUTCOME, /* what: enum counter of a message, bin or frame; epoch, seq of the
                     latter two */
    LINE_DONE,    /* nothing more comes of the entry */
    LINE_N_EVENTS,
};

enum line_action {
    LINE_STEP,       /* over the counts that came */
    LINE_PREDICT,    /* without input */
    LINE_STEP_ZERO,  /* over a bin without spikes */
    LINE_STEP_HELD,  /* over the last counts that came */
    LINE_STEP_MEAN,  /* over the training mean */
    LINE_START,      /* reset by latentd */
    LINE_ENTER_SAFE, /* not the decoder: SAFE begins with the next frame */
    LINE_LEAVE_SAFE, /* and ends after this one */
    LINE_N_ACTIONS,
};

/* Why a line gets another decoder. */
enum line_promotion {
    PROMOTE_ASKED,    /* by the operator */
    ROLL_BACK_ASKED,  /* likewise; these give back the one before */
    ROLL_BACK_OUTPUT, /* its output was not finite */
    ROLL_BACK_MISSES, /* its steps were too slow */
    ROLL_BACK_LIMITS, /* its readout was outside its limits for too long */
    LINE_N_PROMOTIONS,
};

struct line_decoder;

/* Fields that a kind does not name are 0. */
struct line_event {
    enum line_event_kind kind;
    uint32_t what;
    uint64_t t_ns, epoch, seq;
    const void *bytes;
    size_t n_bytes;
    const struct latent_bin *input;    /* what the decoder is about to get */
    const struct latent_frame *values; /* not packed */
    struct line_decoder *next;
};

struct line_tap {
    void (*on_event)(void *ctx, const struct line_event *event);
    void (*on_removed)(void *ctx); /* after this the line does not know it any more; or NULL */
    void *ctx;
};

bool line_event_is_entry(enum line_event_kind kind);
const char *line_event_name(enum line_event_kind kind);
const char *line_action_name(enum line_action action);
const char *line_promotion_name(enum line_promotion why);

#endif
