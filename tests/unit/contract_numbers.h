/* The oracle's part for numbers that cannot be: whose message it is. */
#ifndef CONTRACT_NUMBERS_H
#define CONTRACT_NUMBERS_H

#include "contract_oracle.h"

/* Beyond 64 bits at its end. */
bool numbers_wrap(const struct oracle *o, const struct parcel *p);
/* Asked once of each message, at its first bin. */
enum whose numbers_whose(struct oracle *o, const struct parcel *p);
/* Bin i of it is for the decoder; restarts: it is the first of a new incumbent. */
void numbers_follow(struct oracle *o, const struct parcel *p, uint32_t i, bool restarts);

#endif
