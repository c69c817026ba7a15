/* What is ordered is written first, then the number of the newest order; the data thread reads in
 * reverse. tests/model/orders.pml holds this for every order in which stores may arrive. */
#include "feed/orders.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "feed/ring.h"

#define LINE_BYTES 64   /* of the cache: the threads do not share one */
#define RING_BYTES 4096 /* some fifty orders */

enum { ORDER_ENTER, ORDER_ADD_TAP, ORDER_REMOVE_TAP };

/* In the ring; its kind is the record's. */
struct posted {
    uint64_t number;
    size_t line;
    enum line_event_kind entry;
    struct line_tap tap;
};

/* Of the orders that come one after the other; written by the data thread. */
struct done {
    _Atomic uint64_t number, t_ns; /* of the last that was carried out */
};

struct of_line {
    struct line *line;
    /* Of the posting thread. */
    uint64_t n_safe_on; /* number of the newest SAFE-on */
    size_t n_taps;
    _Atomic uint64_t safe_on; /* the latch: as n_safe_on */
    /* Of the data thread. */
    uint64_t safe_on_taken;
    struct done safe_on_done;
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
    struct done ring_done, stop_done;
    _Alignas(LINE_BYTES) struct of_line lines[];
};

/* ---- life ---- */

struct orders *orders_new(struct line *const *lines, size_t n_lines, struct line_clock clock,
                          struct orders_wake wake)
{
    size_t n = sizeof(struct orders) + n_lines * sizeof(struct of_line);
    struct orders *o = aligned_alloc(LINE_BYTES, (n + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES);

    if (!o) return NULL;
    *o = (struct orders){.clock = clock, .wake = wake, .n_lines = n_lines};
    for (size_t i = 0; i < n_lines; i++) o->lines[i] = (struct of_line){.line = lines[i]};
    o->ring = ring_new(RING_BYTES);
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

static struct order post_in_ring(struct orders *o, uint32_t kind, struct posted order)
{
    struct posted *at = ring_put(o->ring, kind, sizeof *at);

    assert(order.line < o->n_lines);
    if (!at) return (struct order){.orders = o};
    order.number = ++o->n_posted;
    *at = order;
    ring_commit(o->ring);
    return post(o, order.line, order.entry);
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
    return &o->ring_done;
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

static void take_stop(struct orders *o)
{
    uint64_t number = atomic_load_explicit(&o->stop, memory_order_relaxed), t_ns;

    if (number == o->stop_taken) return;
    o->stop_taken = number;
    t_ns = now_ns(o);
    for (size_t i = 0; i < o->n_lines; i++) line_stop(o->lines[i].line, t_ns);
    set_done(&o->stop_done, number, t_ns);
}

static bool is_overtaken(const struct orders *o, const struct posted *p)
{
    return p->entry == LINE_SAFE_OFF &&
           (p->number < o->lines[p->line].safe_on_taken || p->number < o->stop_taken);
}

static void carry_out(struct orders *o, uint32_t kind, const struct posted *p)
{
    struct line *line = o->lines[p->line].line;

    if (kind == ORDER_ADD_TAP)
        line_add_tap(line, p->tap);
    else if (kind == ORDER_REMOVE_TAP)
        line_remove_tap(line, p->tap.ctx);
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
void orders_take(struct orders *o)
{
    uint64_t newest = atomic_load_explicit(&o->newest, memory_order_acquire);

    if (newest == o->seen) return;
    o->seen = newest;
    do {
        ring_look(o->ring);
        for (size_t i = 0; i < o->n_lines; i++) take_safe_on(o, &o->lines[i]);
        take_stop(o);
    } while (take_one(o));
}

bool orders_are_stopped(const struct orders *o)
{
    return o->stop_taken != 0;
}
