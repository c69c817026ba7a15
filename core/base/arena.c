/* A block of memory handed out front to back; a counting arena only adds up. */
#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "latent.h"

/* Sizes saturate at SIZE_MAX: a counting run over absurd sizes then ends in LATENT_E_NOMEM. */
static size_t size_round_up(size_t n)
{
    return n > SIZE_MAX - ARENA_ALIGN ? SIZE_MAX
                                      : (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

static size_t size_add(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

static size_t size_multiply(size_t a, size_t b)
{
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

static void *take(struct arena *a, enum arena_kind kind, size_t n, size_t width)
{
    size_t start = a->used;
    size_t bytes = size_round_up(size_multiply(n, width));
    assert(!a->base || bytes <= a->size - start);
    if (a->pieces) a->pieces[a->n_pieces] = (struct arena_piece){kind, start, n};
    a->n_pieces++;
    a->used = size_add(start, bytes);
    return a->base ? a->base + start : NULL;
}

void *arena_take(struct arena *a, size_t n)
{
    return take(a, ARENA_BYTES, n, 1);
}

uint32_t *arena_flags(struct arena *a, size_t n)
{
    return take(a, ARENA_FLAGS, n, sizeof(uint32_t));
}

uint64_t *arena_counts(struct arena *a, size_t n)
{
    return take(a, ARENA_COUNTS, n, sizeof(uint64_t));
}

float *arena_floats(struct arena *a, size_t n)
{
    return take(a, ARENA_FLOATS, n, sizeof(float));
}

double *arena_doubles(struct arena *a, size_t n)
{
    return take(a, ARENA_DOUBLES, n, sizeof(double));
}

void *arena_copy(struct arena *a, const void *src, size_t n)
{
    void *copy = arena_take(a, n);
    if (copy && n) memcpy(copy, src, n);
    return copy;
}

int arena_new(struct arena *a, size_t size)
{
    *a = (struct arena){0};
    size_t bytes = size_round_up(size ? size : 1);
    if (bytes == SIZE_MAX) return LATENT_E_NOMEM;
    a->base = aligned_alloc(ARENA_ALIGN, bytes);
    if (!a->base) return LATENT_E_NOMEM;
    memset(a->base, 0, bytes);
    a->size = bytes;
    return 0;
}

void arena_free(struct arena *a)
{
    free(a->base);
    *a = (struct arena){0};
}

void arena_warm(const struct arena *a)
{
    const volatile unsigned char *bytes = a->base;
    for (size_t i = 0; bytes && i < a->used; i += ARENA_ALIGN) (void)bytes[i];
}
