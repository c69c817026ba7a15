/* The last rows of words that one thread wrote, for others to look at: a ring that is written over.
 * The writer never waits; a reader that comes too late is told so. */
#ifndef BASE_TRAIL_H
#define BASE_TRAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trail {
    _Atomic uint64_t n; /* rows ever written */
    uint64_t n_rows;    /* that it holds; a power of two */
    size_t n_words;     /* of a row */
    _Atomic uint64_t *words;
};

/* n_rows: a power of two; one of them is being written over. All memory is taken, and touched,
 * here. 0 or -1: out of memory. */
int trail_open(struct trail *t, uint64_t n_rows, size_t n_words);
void trail_close(struct trail *t); /* of one that is all 0, too */
/* The writing thread; no call of the system. words: [n_words]. */
void trail_put(struct trail *t, const uint64_t *words);
/* Any thread. Rows ever written; those from trail_first on may still be there. */
uint64_t trail_count(struct trail *t);
uint64_t trail_first(const struct trail *t, uint64_t count);
/* Row number i, from 0, into words [n_words]. false: not written yet, or written over. */
bool trail_read(struct trail *t, uint64_t i, uint64_t *words);

#endif
