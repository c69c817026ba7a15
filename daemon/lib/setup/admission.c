/* Slow steps, counted. */
#include "setup/admission.h"

#define STEPS_PER_SLOW 100 /* a slow one in so many is let pass */

void admission_add(struct admission *a, uint64_t took_ns)
{
    a->n_steps++;
    if (took_ns > a->budget_ns) a->n_slow++;
    if (took_ns > a->longest_ns) a->longest_ns = took_ns;
}

bool admission_is_slow(const struct admission *a)
{
    if (a->n_slow == a->n_steps) return a->n_slow > 0;
    return a->n_slow > 1 && a->n_slow * STEPS_PER_SLOW > a->n_steps;
}
