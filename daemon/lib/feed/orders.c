/* What is ordered is written first, then the number of the newest order; the data thread reads in
 * reverse. tests/model/orders.pml holds this for every order in which stores may arrive. */
#include "feed/orders.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "feed/ring.h"

#define LINE_BYTES 64   /* of the cache: the threads do not share one */
#define RING_BYTES 4096 /* some fifty orders ... */
#define RING_LARGEST 4  /* ... or as many of the largest, where those take more */

enum {
    ORDER_ENTER,
    ORDER_ADD_TAP,
    ORDER_REMOVE_TAP,
    ORDER_PROMOTE,
    ORDER_GIVE_UP,
    ORDER_CHANGE,
    ORDER_TELL,
};

/* In the ring, the bytes of its entry behind it; its kind is the record's. */
struct posted {
    uint64_t number;
    size_t line, n_bytes;
    enum line_event_kind entry;
    uint32_t what;
    union {
        struct line_tap tap;
        struct promotion promotion;
        struct {
            const struct orders_change *changes;
            size_t n_changes;
        };
        struct line_normalisation *told;
    };
};

/* Of the orders that come one after the other; written by the data thread. */
struct done {
    _Atomic uint64_t number, t_ns; /* of the last that was carried out */
};

/* A promotion that the data thread has taken from the ring. */
struct owed {
    uint64_t number; /* 0: none */
    struct promotion promotion;
    uint64_t n_steps; /* of the line, when it was asked for last ... */
    uint64_t n_bins;  /* ... and at how many bins that was */
};

struct of_line {
    struct line *line;
    /* Of the posting thread. */
    uint64_t n_safe_on;   /* number of the newest SAFE-on */
    uint64_t n_promotion; /* and promotion */
    size_t n_taps;
    _Atomic uint64_t safe_on; /* the latch: as n_safe_on */
    /* Of the data thread. */
    uint64_t safe_on_taken;
    struct owed owed;
    struct done safe_on_done, promotion_done;
    _Atomic uint32_t promotion_end; /* enum order_state; of promotion_done */
};

struct orders {
    struct line_clock clock;
    struct orders_wake wake;
    struct ring *ring;
    size_t n_lines;

    /* Of the posting thread. */
    _Alignas(LINE_BYTES) _Atomic uint64_t newest; /* number; what it says is visible before it */
    uint64_t n_posted;
    _Atomic uint64_t stop; /* a latch */

    /* Of the data thread. */
    _Alignas(LINE_BYTES) uint64_t seen;
    uint64_t stop_taken;
    size_t n_owed; /* promotions */
    struct done ring_done, stop_done;
    _Alignas(LINE_BYTES) struct of_line lines[];
};

/* ---- life ---- */

struct orders *orders_new(struct line *const *lines, size_t n_lines, struct line_clock clock,
                          struct orders_wake wake)
{
    size_t n = sizeof(struct orders) + n_lines * sizeof(struct of_line), n_ring = RING_BYTES;
    struct orders *o = aligned_alloc(LINE_BYTES, (n + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES);

    if (!o) return NULL;
    *o = (struct orders){.clock = clock, .wake = wake, .n_lines = n_lines};
    for (size_t i = 0, n_largest; i < n_lines; i++) {
        o->lines[i] = (struct of_line){.line = lines[i], .n_taps = line_n_taps(lines[i])};
        n_largest = RING_LARGEST * (sizeof(struct posted) + line_normalisation_bytes(lines[i]));
        if (n_largest > n_ring) n_ring = n_largest;
    }
    o->ring = ring_new(n_ring);
    if (o->ring) return o;
    free(o);
    return NULL;
}

void orders_free(struct orders *o)
{
    if (!o) return;
    ring_free(o->ring);
    free(o);
}

/* ---- posting ---- */

/* A wake may look whether one is under way already and leave it at that, as libuv's does. The fence
 * keeps that look after the store: else the data thread could take that wake, not see the order and
 * go to sleep. */
static struct order post(struct orders *o, size_t line, enum line_event_kind entry)
{
    atomic_store_explicit(&o->newest, o->n_posted, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    o->wake.wake(o->wake.ctx);
    return (struct order){o, line, entry, o->n_posted};
}

static struct order post_with(struct orders *o, uint32_t kind, struct posted order,
                              const void *bytes)
{
    struct posted *at = ring_put(o->ring, kind, sizeof *at + order.n_bytes);

    assert(order.line < o->n_lines);
    if (!at) return (struct order){.orders = o};
    order.number = ++o->n_posted;
    *at = order;
    if (order.n_bytes) memcpy(at + 1, bytes, order.n_bytes);
    ring_commit(o->ring);
    return post(o, order.line, order.entry);
}

static struct order post_in_ring(struct orders *o, uint32_t kind, struct posted order)
{
    return post_with(o, kind, order, NULL);
}

static struct order post_safe_on(struct orders *o, size_t line)
{
    struct of_line *l = &o->lines[line];

    assert(line < o->n_lines);
    l->n_safe_on = ++o->n_posted;
    atomic_store_explicit(&l->safe_on, l->n_safe_on, memory_order_relaxed);
    return post(o, line, LINE_SAFE_ON);
}

struct order orders_enter(struct orders *o, size_t line, enum line_event_kind entry)
{
    assert(entry == LINE_RESET || entry == LINE_SAFE_ON || entry == LINE_SAFE_OFF);
    if (entry == LINE_SAFE_ON) return post_safe_on(o, line);
    return post_in_ring(o, ORDER_ENTER, (struct posted){.line = line, .entry = entry});
}

struct order orders_normalise(struct orders *o, size_t line, enum latent_normalise_act act,
                              const double *numbers)
{
    bool loads = act == LATENT_NORMALISE_LOAD;
    const struct posted order = {.line = line,
                                 .n_bytes =
                                     loads ? line_normalisation_bytes(o->lines[line].line) : 0,
                                 .entry = LINE_NORMALISE,
                                 .what = (uint32_t)act};

    assert(loads == (numbers != NULL));
    return post_with(o, ORDER_ENTER, order, numbers);
}

struct order orders_tell_normalisation(struct orders *o, size_t line,
                                       struct line_normalisation *told)
{
    return post_in_ring(o, ORDER_TELL,
                        (struct posted){.line = line, .entry = LINE_N_EVENTS, .told = told});
}

struct order orders_mask(struct orders *o, size_t line, const uint8_t *bits, uint32_t version)
{
    const struct posted order = {.line = line,
                                 .n_bytes = line_mask_bytes(o->lines[line].line),
                                 .entry = LINE_MASK,
                                 .what = version};

    return post_with(o, ORDER_ENTER, order, bits);
}

struct order orders_change(struct orders *o, const struct orders_change *changes, size_t n_changes)
{
    return post_in_ring(
        o, ORDER_CHANGE,
        (struct posted){.entry = LINE_N_EVENTS, .changes = changes, .n_changes = n_changes});
}

bool orders_take_change(struct orders *o)
{
    bool has_room = ring_put(o->ring, ORDER_CHANGE, sizeof(struct posted)) != NULL;

    ring_abort(o->ring);
    return has_room;
}

struct order orders_add_tap(struct orders *o, size_t line, struct line_tap tap)
{
    struct order order = {.orders = o};

    if (o->lines[line].n_taps == LINE_MAX_TAPS) return order;
    order = post_in_ring(o, ORDER_ADD_TAP,
                         (struct posted){.line = line, .entry = LINE_N_EVENTS, .tap = tap});
    o->lines[line].n_taps += order.number != 0;
    return order;
}

struct order orders_remove_tap(struct orders *o, size_t line, struct line_tap tap)
{
    struct order order = post_in_ring(
        o, ORDER_REMOVE_TAP, (struct posted){.line = line, .entry = LINE_N_EVENTS, .tap = tap});

    o->lines[line].n_taps -= order.number != 0;
    return order;
}

/* Its end is told by the number: what came before it is over. */
static bool promotion_is_owed(const struct of_line *l)
{
    return atomic_load_explicit(&l->promotion_done.number, memory_order_acquire) < l->n_promotion;
}

struct order orders_promote(struct orders *o, size_t line, struct promotion promotion)
{
    struct order order = {.orders = o};

    assert(line < o->n_lines);
    if (promotion_is_owed(&o->lines[line])) return order;
    order =
        post_in_ring(o, ORDER_PROMOTE,
                     (struct posted){.line = line, .entry = LINE_PROMOTE, .promotion = promotion});
    if (order.number) o->lines[line].n_promotion = order.number;
    return order;
}

struct order orders_give_up(struct orders *o, size_t line)
{
    return post_in_ring(o, ORDER_GIVE_UP, (struct posted){.line = line, .entry = LINE_N_EVENTS});
}

struct order orders_stop(struct orders *o)
{
    atomic_store_explicit(&o->stop, ++o->n_posted, memory_order_relaxed);
    return post(o, 0, LINE_STOP);
}

static const struct done *done_of(const struct order *order)
{
    const struct orders *o = order->orders;

    if (order->entry == LINE_STOP) return &o->stop_done;
    if (order->entry == LINE_SAFE_ON) return &o->lines[order->line].safe_on_done;
    if (order->entry == LINE_PROMOTE) return &o->lines[order->line].promotion_done;
    return &o->ring_done;
}

/* Of a promotion that is over. Of one that others followed no more is known than that. */
static enum order_state end_of(const struct order *order)
{
    const struct of_line *l = &order->orders->lines[order->line];

    if (order->number < l->n_promotion) return ORDER_GIVEN_UP;
    return (enum order_state)atomic_load_explicit(&l->promotion_end, memory_order_relaxed);
}

enum order_state order_look(const struct order *order, uint64_t *t_done_ns)
{
    const struct done *done;

    *t_done_ns = 0;
    if (order->number == 0) return ORDER_REFUSED;
    done = done_of(order);
    if (atomic_load_explicit(&done->number, memory_order_acquire) < order->number)
        return ORDER_OWED;
    *t_done_ns = atomic_load_explicit(&done->t_ns, memory_order_relaxed);
    if (order->entry == LINE_PROMOTE) return end_of(order);
    if (order->entry == LINE_SAFE_OFF &&
        order->orders->lines[order->line].n_safe_on > order->number)
        return ORDER_OVERTAKEN;
    return ORDER_DONE;
}

/* ---- taking ---- */

static void set_done(struct done *done, uint64_t number, uint64_t t_ns)
{
    atomic_store_explicit(&done->t_ns, t_ns, memory_order_relaxed);
    atomic_store_explicit(&done->number, number, memory_order_release);
}

static uint64_t now_ns(const struct orders *o)
{
    return o->clock.now_ns(o->clock.ctx);
}

static void take_safe_on(struct orders *o, struct of_line *l)
{
    uint64_t number = atomic_load_explicit(&l->safe_on, memory_order_relaxed), t_ns;

    if (number == l->safe_on_taken) return;
    l->safe_on_taken = number;
    t_ns = now_ns(o);
    line_safe_on(l->line, t_ns);
    set_done(&l->safe_on_done, number, t_ns);
}

/* ---- promotions ---- */

/* Of the one that is owed, if any. */
static void end_promotion(struct orders *o, struct of_line *l, enum order_state end)
{
    uint64_t number = l->owed.number;

    if (number == 0) return;
    l->owed = (struct owed){0};
    o->n_owed--;
    atomic_store_explicit(&l->promotion_end, end, memory_order_relaxed);
    set_done(&l->promotion_done, number, now_ns(o));
}

static void owe(struct orders *o, const struct posted *p)
{
    struct of_line *l = &o->lines[p->line];

    l->owed = (struct owed){p->number, p->promotion, UINT64_MAX, 0};
    o->n_owed++;
    if (o->stop_taken) end_promotion(o, l, ORDER_GIVEN_UP);
}

/* false: too often. */
static bool ask_again(struct owed *owed, uint64_t n_steps)
{
    owed->n_bins += n_steps != owed->n_steps;
    owed->n_steps = n_steps;
    return owed->n_bins <= ORDERS_PROMOTION_BINS;
}

static void promote(struct orders *o, struct of_line *l)
{
    const struct promotion *p = &l->owed.promotion;
    bool is_moment = p->at_trial ? line_is_at_trial(l->line) : !line_has_work(l->line);
    enum promotion_answer answer = is_moment ? p->may(p->ctx) : PROMOTION_NOT_YET;

    if (answer == PROMOTION_GIVE_UP) {
        end_promotion(o, l, ORDER_GIVEN_UP);
    } else if (answer == PROMOTION_TAKE) {
        p->done(p->ctx, line_promote(l->line, p->next, p->why));
        end_promotion(o, l, ORDER_DONE);
    } else if (is_moment && !ask_again(&l->owed, line_n_steps(l->line))) {
        end_promotion(o, l, ORDER_EXPIRED);
    }
}

static void promote_owed(struct orders *o)
{
    for (size_t i = 0; i < o->n_lines; i++)
        if (o->lines[i].owed.number) promote(o, &o->lines[i]);
}

static void take_stop(struct orders *o)
{
    uint64_t number = atomic_load_explicit(&o->stop, memory_order_relaxed), t_ns;

    if (number == o->stop_taken) return;
    o->stop_taken = number;
    t_ns = now_ns(o);
    for (size_t i = 0; i < o->n_lines; i++) {
        line_stop(o->lines[i].line, t_ns);
        end_promotion(o, &o->lines[i], ORDER_GIVEN_UP);
    }
    set_done(&o->stop_done, number, t_ns);
}

static bool is_overtaken(const struct orders *o, const struct posted *p)
{
    return p->entry == LINE_SAFE_OFF &&
           (p->number < o->lines[p->line].safe_on_taken || p->number < o->stop_taken);
}

static void enter_rules(struct orders *o, const struct orders_change *c)
{
    unsigned char bytes[RULES_BYTES];
    size_t n_bytes = rules_pack(&c->rules, bytes);

    if (c->has_rules)
        line_enter(o->lines[c->line].line,
                   &(struct line_event){
                       .kind = LINE_RULES, .t_ns = now_ns(o), .bytes = bytes, .n_bytes = n_bytes});
}

static void enter_mask(struct orders *o, const struct orders_change *c)
{
    struct line *line = o->lines[c->line].line;

    if (c->mask)
        line_enter(line, &(struct line_event){.kind = LINE_MASK,
                                              .what = c->mask_version,
                                              .t_ns = now_ns(o),
                                              .bytes = c->mask,
                                              .n_bytes = line_mask_bytes(line)});
}

static void change(struct orders *o, const struct orders_change *c)
{
    if (c->mask_is_first) enter_mask(o, c);
    enter_rules(o, c);
    if (!c->mask_is_first) enter_mask(o, c);
    if (c->done) c->done(c->ctx);
}

static void carry_out(struct orders *o, uint32_t kind, const struct posted *p)
{
    struct line *line = o->lines[p->line].line;

    if (kind == ORDER_ADD_TAP)
        line_add_tap(line, p->tap);
    else if (kind == ORDER_REMOVE_TAP)
        line_remove_tap(line, p->tap.ctx);
    else if (kind == ORDER_PROMOTE)
        owe(o, p);
    else if (kind == ORDER_GIVE_UP)
        end_promotion(o, &o->lines[p->line], ORDER_GIVEN_UP);
    else if (kind == ORDER_CHANGE)
        for (size_t i = 0; i < p->n_changes; i++) change(o, &p->changes[i]);
    else if (kind == ORDER_TELL)
        line_tell_normalisation(line, p->told);
    else if (p->entry == LINE_MASK || p->entry == LINE_NORMALISE)
        line_enter(line, &(struct line_event){.kind = p->entry,
                                              .what = p->what,
                                              .t_ns = now_ns(o),
                                              .bytes = p + 1,
                                              .n_bytes = p->n_bytes});
    else if (!is_overtaken(o, p))
        line_enter(line, &(struct line_event){.kind = p->entry});
}

/* false: the ring is empty. */
static bool take_one(struct orders *o)
{
    struct ring_record record;
    uint64_t number;

    if (!ring_take(o->ring, &record)) return false;
    carry_out(o, record.kind, record.bytes);
    number = ((const struct posted *)record.bytes)->number;
    ring_release(o->ring);
    set_done(&o->ring_done, number, now_ns(o));
    return true;
}

/* The ring is looked at before the latches: what was latched before an order of the ring is then
 * carried out before it. What is latched after it has the higher number. */
static void take_all(struct orders *o)
{
    do {
        ring_look(o->ring);
        for (size_t i = 0; i < o->n_lines; i++) take_safe_on(o, &o->lines[i]);
        take_stop(o);
    } while (take_one(o));
}

void orders_take(struct orders *o)
{
    uint64_t newest = atomic_load_explicit(&o->newest, memory_order_acquire);

    if (newest != o->seen) {
        o->seen = newest;
        take_all(o);
    }
    if (o->n_owed) promote_owed(o);
}

bool orders_are_stopped(const struct orders *o)
{
    return o->stop_taken != 0;
}
