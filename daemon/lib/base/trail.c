/* The number of rows is the version: it is changed by read-modify-write, so that the words of the
 * next row stay after it, and looked at by one, so that those of a row stay before it. */
#include "base/trail.h"

#include <assert.h>
#include <stdlib.h>

int trail_open(struct trail *t, uint64_t n_rows, size_t n_words)
{
    assert((n_rows & (n_rows - 1)) == 0);
    *t = (struct trail){.n_rows = n_rows, .n_words = n_words};
    t->words = malloc(n_rows * n_words * sizeof *t->words);
    if (!t->words) return -1;
    for (uint64_t i = 0; i < n_rows * n_words; i++) atomic_init(&t->words[i], 0);
    return 0;
}

void trail_close(struct trail *t)
{
    free(t->words);
    t->words = NULL;
}

static _Atomic uint64_t *row(const struct trail *t, uint64_t i)
{
    return t->words + (i & (t->n_rows - 1)) * t->n_words;
}

void trail_put(struct trail *t, const uint64_t *words)
{
    _Atomic uint64_t *to = row(t, atomic_load_explicit(&t->n, memory_order_relaxed));

    for (size_t w = 0; w < t->n_words; w++)
        atomic_store_explicit(&to[w], words[w], memory_order_relaxed);
    atomic_fetch_add_explicit(&t->n, 1, memory_order_acq_rel);
}

uint64_t trail_count(struct trail *t)
{
    return atomic_load_explicit(&t->n, memory_order_acquire);
}

uint64_t trail_first(const struct trail *t, uint64_t count)
{
    return count < t->n_rows ? 0 : count - t->n_rows + 1;
}

bool trail_read(struct trail *t, uint64_t i, uint64_t *words)
{
    _Atomic uint64_t *from = row(t, i);

    if (i >= trail_count(t)) return false;
    for (size_t w = 0; w < t->n_words; w++)
        words[w] = atomic_load_explicit(&from[w], memory_order_relaxed);
    return i >= trail_first(t, atomic_fetch_add_explicit(&t->n, 0, memory_order_acq_rel));
}
