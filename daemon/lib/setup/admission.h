/* Whether a decoder keeps its budget, told from trial steps at start. One step that was held up (a
 * page that came late, another process on the CPU) says nothing of those to come. */
#ifndef SETUP_ADMISSION_H
#define SETUP_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

/* Zero it before the first step. */
struct admission {
    uint64_t budget_ns;
    uint64_t n_steps, n_slow; /* slow: over the budget */
    uint64_t longest_ns;
};

void admission_add(struct admission *a, uint64_t took_ns);
/* More than one step in a hundred was slow: all of very few, or more than one. */
bool admission_is_slow(const struct admission *a);

#endif
