/* A block of memory handed out front to back and never given back piece by piece.
 *
 * A counting arena (base NULL) hands out NULL and only adds up: run an init once over a counting
 * arena to learn the size, then over a real one. So an init may carve, but not write through what
 * it carved. */
#ifndef LATENT_ARENA_H
#define LATENT_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_ALIGN 64

/* What lies in a piece of memory, for whoever writes it to a file. */
enum arena_kind {
    ARENA_BYTES,
    ARENA_FLAGS,  /* uint32_t, 0 or 1 */
    ARENA_COUNTS, /* uint64_t, below ARENA_MAX_COUNT */
    ARENA_FLOATS,
    ARENA_DOUBLES,
};
#define ARENA_MAX_COUNT ((uint64_t)1 << 62)

struct arena_piece {
    enum arena_kind kind;
    size_t at, n; /* bytes from the base; values of that kind */
};

struct arena {
    unsigned char *base; /* NULL: counting */
    size_t used, size;
    size_t n_pieces;
    struct arena_piece *pieces; /* [n_pieces] as they are handed out, the caller's; or NULL */
};

/* n bytes, 64-byte aligned, zeroed when the arena was made by arena_new; NULL from a
 * counting arena. */
void *arena_take(struct arena *a, size_t n);
uint32_t *arena_flags(struct arena *a, size_t n);
uint64_t *arena_counts(struct arena *a, size_t n);
float *arena_floats(struct arena *a, size_t n);
double *arena_doubles(struct arena *a, size_t n);
/* Copy n bytes into the arena; NULL from a counting arena. */
void *arena_copy(struct arena *a, const void *src, size_t n);

/* Heap block of size bytes, zeroed and aligned. 0 or LATENT_E_NOMEM. */
int arena_new(struct arena *a, size_t size);
void arena_free(struct arena *a);
/* Read what was handed out, once, into the caches. */
void arena_warm(const struct arena *a);

#endif
