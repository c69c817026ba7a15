/* Positions count bytes for ever; their low bits are places. A record does not wrap:
 * the rest of the memory before it is filled with one of kind RING_PAD. */
#include "feed/ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 64 /* of the cache: the threads do not share one */
#define LEAST_BYTES 4096
#define MOST_BYTES (1u << 31)
#define RING_PAD UINT32_MAX

struct head {
    uint32_t kind, n_bytes; /* of what follows, without padding to 8 */
};

struct ring {
    unsigned char *bytes; /* [size] */
    size_t size;          /* power of two */

    /* Of the thread that puts. */
    _Alignas(LINE_BYTES) _Atomic uint64_t visible; /* complete groups end here */
    uint64_t put;                                  /* the open group ends here */
    uint64_t free_until;                           /* as far as known; the truth may be more */

    /* Of the thread that takes. */
    _Alignas(LINE_BYTES) _Atomic uint64_t released;
    uint64_t taken, seen;
};

/* ---- life ---- */

static size_t power_of_two(size_t n)
{
    size_t size = LEAST_BYTES;

    while (size < n) size *= 2;
    return size;
}

struct ring *ring_new(size_t n_bytes)
{
    struct ring *r = aligned_alloc(LINE_BYTES, sizeof *r);

    assert(n_bytes <= MOST_BYTES);
    if (!r) return NULL;
    *r = (struct ring){.size = power_of_two(n_bytes)};
    r->bytes = aligned_alloc(LINE_BYTES, r->size);
    if (!r->bytes) {
        free(r);
        return NULL;
    }
    memset(r->bytes, 0, r->size);
    r->free_until = r->size;
    return r;
}

void ring_free(struct ring *r)
{
    if (!r) return;
    free(r->bytes);
    free(r);
}

size_t ring_size(const struct ring *r)
{
    return r->size;
}

/* ---- putting ---- */

static bool has_room(struct ring *r, uint64_t end)
{
    if (end <= r->free_until) return true;
    r->free_until = atomic_load_explicit(&r->released, memory_order_acquire) + r->size;
    return end <= r->free_until;
}

static struct head *head_at(const struct ring *r, uint64_t position)
{
    return (struct head *)(void *)(r->bytes + (position & (r->size - 1)));
}

static size_t whole_bytes(size_t n_bytes)
{
    return sizeof(struct head) + ((n_bytes + 7) & ~(size_t)7);
}

/* Positions are multiples of 8, so there is always room for the head of a pad. */
void *ring_put(struct ring *r, uint32_t kind, size_t n_bytes)
{
    size_t whole = whole_bytes(n_bytes);
    size_t to_end = r->size - (size_t)(r->put & (r->size - 1));
    size_t pad = whole > to_end ? to_end : 0;
    struct head *head;

    assert(kind != RING_PAD);
    if (n_bytes > r->size / 2 || !has_room(r, r->put + pad + whole)) return NULL;
    if (pad) {
        *head_at(r, r->put) = (struct head){RING_PAD, (uint32_t)(pad - sizeof(struct head))};
        r->put += pad;
    }
    head = head_at(r, r->put);
    *head = (struct head){kind, (uint32_t)n_bytes};
    r->put += whole;
    return head + 1;
}

void ring_commit(struct ring *r)
{
    atomic_store_explicit(&r->visible, r->put, memory_order_release);
}

void ring_abort(struct ring *r)
{
    r->put = atomic_load_explicit(&r->visible, memory_order_relaxed);
}

size_t ring_used(const struct ring *r)
{
    return (size_t)(r->put - atomic_load_explicit(&r->released, memory_order_relaxed));
}

/* ---- taking ---- */

void ring_look(struct ring *r)
{
    r->seen = atomic_load_explicit(&r->visible, memory_order_acquire);
}

bool ring_waits(const struct ring *r)
{
    return r->taken < r->seen;
}

bool ring_peek(struct ring *r, struct ring_record *out)
{
    while (r->taken < r->seen) {
        const struct head *head = head_at(r, r->taken);

        *out = (struct ring_record){head->kind, head->n_bytes, head + 1};
        if (head->kind != RING_PAD) return true;
        r->taken += whole_bytes(head->n_bytes);
    }
    return false;
}

bool ring_take(struct ring *r, struct ring_record *out)
{
    if (!ring_peek(r, out)) return false;
    r->taken += whole_bytes(out->n_bytes);
    return true;
}

void ring_release(struct ring *r)
{
    atomic_store_explicit(&r->released, r->taken, memory_order_release);
}

void ring_rewind(struct ring *r)
{
    r->taken = atomic_load_explicit(&r->released, memory_order_relaxed);
}

size_t ring_level(const struct ring *r)
{
    uint64_t released = atomic_load_explicit(&r->released, memory_order_relaxed);
    uint64_t visible = atomic_load_explicit(&r->visible, memory_order_acquire);

    return (size_t)(visible - released);
}
