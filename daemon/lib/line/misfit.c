/* Single-writer numbers. */
#include "line/misfit.h"

static void set(_Atomic uint64_t *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

void misfit_expect(struct misfits *m, enum misfit what, uint64_t expected)
{
    set(&m->of[what].expected, expected);
}

void misfit_note(struct misfits *m, enum misfit what, uint64_t found, uint64_t epoch)
{
    set(&m->of[what].found, found);
    set(&m->of[what].epoch, epoch);
    atomic_store_explicit(&m->of[what].n, get(&m->of[what].n) + 1, memory_order_release);
}

void misfit_read(const struct misfits *m, enum misfit what, struct misfit_seen *out)
{
    out->n = atomic_load_explicit(&m->of[what].n, memory_order_acquire);
    out->found = get(&m->of[what].found);
    out->expected = get(&m->of[what].expected);
    out->epoch = get(&m->of[what].epoch);
}
