/* Orders into a data thread: what an operator or the daemon wants of its lines. One control thread
 * posts them, the data thread takes them before each unit of its work and enters them into the
 * line, so that they are recorded and replayed like a message or a tick.
 *
 * SAFE-on (one each line) and stop go through latches, which cannot be full; all others go through
 * one ring, and are refused while it is. Each order has a number, later ones a higher one. A
 * SAFE-off that finds a later SAFE-on or stop carried out is overtaken: it changes nothing.
 *
 * A promotion is carried out where its moment is right and whoever ordered it says, in the data
 * thread, that it may be; until then it stays owed, one on each line.
 *
 * Neither side waits, locks or allocates. Posting wakes the data thread by the function given. */
#ifndef FEED_ORDERS_H
#define FEED_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line/line.h"
#include "line/rules.h"

struct orders;

struct orders_wake {
    void (*wake)(void *ctx); /* called by the posting thread after each order */
    void *ctx;
};

/* An order as its owner remembers it. */
struct order {
    const struct orders *orders;
    size_t line;
    enum line_event_kind entry; /* LINE_N_EVENTS: of a tap, or of changes */
    uint64_t number;            /* 1, 2, ... of these orders; 0: refused, or none */
};

enum order_state {
    ORDER_REFUSED,   /* the ring was full; or a promotion is owed on that line */
    ORDER_OWED,      /* not carried out yet; it stays ordered */
    ORDER_OVERTAKEN, /* a SAFE-off, and SAFE was ordered again after it */
    ORDER_DONE,
    ORDER_EXPIRED,  /* a promotion that could not be for ORDERS_PROMOTION_BINS */
    ORDER_GIVEN_UP, /* a promotion that was not to be any more, or stop came before it */
};

#define ORDERS_PROMOTION_BINS 50

enum promotion_answer { PROMOTION_NOT_YET, PROMOTION_TAKE, PROMOTION_GIVE_UP };

/* All of it, and what ctx points to, must stay until the order is not owed any more. */
struct promotion {
    struct line_decoder *next; /* which may follow what is in use */
    enum line_promotion why;
    bool at_trial; /* only outside of a trial, or before the bin that begins one */
    /* Asked in the data thread, each time that orders are taken and the moment is right, until the
     * answer is not NOT_YET; real-time safe. TAKE: next's decoder has done every step that the
     * line's has, and nobody else touches it from this call on. GIVE_UP: the order is over. NOT_YET
     * at ORDERS_PROMOTION_BINS bins: it expires. */
    enum promotion_answer (*may)(void *ctx);
    /* In the data thread, after the entry and before any frame of next is made: NAME/info goes out
     * here. old, as line_promote returns it, has done the newest bin. */
    void (*done)(void *ctx, struct line_decoder *old);
    void *ctx;
};

/* What becomes of one line with others of the same thread, between two of its steps. */
struct orders_change {
    size_t line;
    struct rules rules;
    bool has_rules;
    const uint8_t *mask; /* [line_mask_bytes]; NULL: it stays */
    uint32_t mask_version;
    bool mask_is_first;      /* before the rules */
    void (*done)(void *ctx); /* in the data thread, after the entries; or NULL */
    void *ctx;
};

/* For the lines of one data thread, which stay the caller's; lines itself is not kept. The clock
 * gives the entries their times. NULL: out of memory. */
struct orders *orders_new(struct line *const *lines, size_t n_lines, struct line_clock clock,
                          struct orders_wake wake);
void orders_free(struct orders *o); /* NULL is allowed */

/* ---- the posting thread ---- */

/* entry: LINE_RESET, LINE_SAFE_ON or LINE_SAFE_OFF. */
struct order orders_enter(struct orders *o, size_t line, enum line_event_kind entry);
/* numbers: mean, sd [2, C], copied; of LOAD alone. */
struct order orders_normalise(struct orders *o, size_t line, enum latent_normalise_act act,
                              const double *numbers);
/* told is written in the data thread, and must stay until the order is not owed any more. */
struct order orders_tell_normalisation(struct orders *o, size_t line,
                                       struct line_normalisation *told);
/* bits [line_mask_bytes] are copied. */
struct order orders_mask(struct orders *o, size_t line, const uint8_t *bits, uint32_t version);
/* All of them at once, before any other step of the thread. They, and what they point to, must stay
 * until the order is not owed any more. */
struct order orders_change(struct orders *o, const struct orders_change *changes, size_t n_changes);
/* Would such an order be taken now? */
bool orders_take_change(struct orders *o);
/* Refused also when the line would have more than LINE_MAX_TAPS. */
struct order orders_add_tap(struct orders *o, size_t line, struct line_tap tap);
struct order orders_remove_tap(struct orders *o, size_t line, struct line_tap tap);
/* Refused also while another promotion of that line is owed. Posted while no trial runs, at_trial
 * is the next boundary between bins like any other. */
struct order orders_promote(struct orders *o, size_t line, struct promotion promotion);
/* The promotion that is owed on this line, if any, is not to be any more, whatever its moment. */
struct order orders_give_up(struct orders *o, size_t line);
/* SAFE for good on every line; the last order. */
struct order orders_stop(struct orders *o);
/* t_done_ns: when it was carried out, or a later one of its kind; 0 while it is owed. */
enum order_state order_look(const struct order *order, uint64_t *t_done_ns);

/* ---- the data thread ---- */

/* To be called before each entry and each step of a message. One atomic load when there is
 * nothing; while a promotion is owed, its moment is looked for at each call. */
void orders_take(struct orders *o);
/* Has stop been carried out? */
bool orders_are_stopped(const struct orders *o);

#endif
