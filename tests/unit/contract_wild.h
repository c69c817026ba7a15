/* What a source of the world does that cannot be: its counter and clock go on from elsewhere, a
 * message is damaged, another source sends as the same stream. */
#ifndef CONTRACT_WILD_H
#define CONTRACT_WILD_H

#include "contract_world.h"

void wild_begin(struct world *w);
/* The source goes on from elsewhere: 32 bits that wrap, a step of the clock, anything. */
void wild_jump(struct world *w);
/* One message alone. */
void wild_damage(struct world *w, struct parcel *p);
/* Another source begins, for some bins: with the same epoch or another, with the same numbers, near
 * ones or any. */
void wild_join(struct world *w);
/* Its next bin, without values. */
struct parcel wild_bin(struct world *w);
/* What the clock of the source shows, that showed clock_ns at the world's 0; 0: it has none. */
uint64_t wild_time(const struct world *w, uint64_t clock_ns);

#endif
