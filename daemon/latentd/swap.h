/* Another decoder for a stream while it runs: loaded and verified in libuv's pool, run in shadow,
 * promoted between two bins, rolled back. One beside the line at a time. All of it belongs to the
 * control thread, but what `move` says of the data thread. */
#ifndef LATENTD_SWAP_H
#define LATENTD_SWAP_H

#include <stdbool.h>
#include <uv.h>

#include "control/code.h"
#include "feed/orders.h"
#include "latentd/engine.h"
#include "shadow/shadow.h"

#define SWAP_TEXT 900
#define SWAP_LEAST_BINS 200 /* in shadow, before it may be promoted unforced */
#define SWAP_MAX_REFUSED 16 /* files that are remembered */
#define SWAP_HASH_BYTES 32
#define SWAP_WAIT_NS 1500000000u /* that an answer waits */

enum swap_state {
    SWAP_NONE,
    SWAP_LOADING,
    SWAP_SHADOWING, /* being primed is a part of it */
    SWAP_KEEPING,   /* promoted; the decoder before is kept */
    SWAP_DROPPING,  /* its thread has not ended yet */
    SWAP_N_STATES,
};
const char *swap_state_name(enum swap_state state);

/* What was asked for, until it is done; then what is said about it. */
struct swap_task {
    uint64_t number; /* 1, 2, ...; of the newest */
    bool is_owed;
    enum control_code code;
    char text[SWAP_TEXT];
};

struct swap_options {
    bool forced, dry_run;
    bool at_next_bin; /* else outside of a trial */
    bool promotes;    /* load: promoted when it may be */
};

/* An exchange on its way: written before the order is posted, read by the data thread. */
struct swap_move {
    struct stream *stream;
    struct shadow *shadow;
    struct engine *next;
    enum shadow_role role; /* of what comes out of the line */
    /* By the data thread, when it happened: of the line; was what came back exact? */
    uint64_t n_failed;
    bool was_exact;
};

struct swap_loading;

struct swap {
    struct stream *stream;
    struct recent *recent; /* the newest steps, from the stream's start on */
    enum swap_state state;
    struct engine *other; /* beside the line: the candidate, or what is kept */
    struct shadow *shadow;
    struct engine *parked;                    /* of the start, not in use any more */
    struct engine *retired[SWAP_MAX_REFUSED]; /* until no record needs them */
    size_t n_retired;

    struct swap_task load;
    struct swap_loading *loading;
    bool load_is_unwanted;
    struct swap_options loaded_with;

    struct swap_task task; /* the newest promotion or roll-back by an operator */
    struct swap_move move;
    struct order order; /* number 0: none is owed */
    enum line_promotion why;
    bool drops_after;       /* the order: it was dropped meanwhile */
    uint64_t t_promoted_ns; /* CLOCK_MONOTONIC */
    uint64_t n_promotions, n_roll_backs;
    char newest[SWAP_TEXT];                             /* change: when, who, why */
    uint8_t refused[SWAP_MAX_REFUSED][SWAP_HASH_BYTES]; /* SHA-256 of what was rolled back */
    size_t n_refused;
};

/* ---- life ---- */

/* With the stream's line, before its loop runs. 0 or -1: out of memory. */
int swap_attach(struct swap *w, struct stream *s);
/* After it. Not while swap_is_loading. */
void swap_close(struct swap *w);

/* ---- what an operator asks for ---- */

/* Each begins what is asked for, a new number of task (or load); true: it is said at once, false:
 * it is owed. */
bool swap_load(struct swap *w, uv_loop_t *loop, const char *path,
               const struct swap_options *options);
bool swap_promote(struct swap *w, const struct swap_options *options);
bool swap_roll_back(struct swap *w, const struct swap_options *options);
bool swap_drop(struct swap *w, const struct swap_options *options);

/* ---- what comes by itself ---- */

/* Every few milliseconds while it is active. */
void swap_watch(struct swap *w, uint64_t now_ns);
bool swap_is_active(const struct swap *w);
/* Something is at work in the pool. */
bool swap_is_loading(const struct swap *w);
/* Once a second: what no record needs any more is freed. */
void swap_tidy(struct swap *w);

/* ---- inside: the parts share these (swap_inside.c, swap_move.c) ---- */

/* Said about a task, which is not owed any more; true. */
bool swap_say(struct swap_task *task, enum control_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A change, for the log and the status. */
void swap_note(struct swap *w, const char *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What is beside the line ends. */
void swap_begin_drop(struct swap *w);
bool swap_is_refused(const struct swap *w, const uint8_t *hash);
/* Why a candidate may not be promoted now; NULL: it may. final: it never may. */
const char *swap_objection(struct swap *w, char *text, size_t n, bool *final);
/* false: the data thread is busy with other orders. */
bool swap_post(struct swap *w, enum line_promotion why, bool at_next_bin);
/* Has the order been carried out, or not? Its consequences. */
void swap_settle(struct swap *w, uint64_t now_ns);

#endif
