/* Counting, and telling the tap: each site of the line counts what it decided, so that
 * the ledgers check each other. */
#ifndef LINE_ACCOUNT_H
#define LINE_ACCOUNT_H

#include "line/inside.h"

void account_message(struct pipeline *p, enum wire_refusal refusal);
/* A bin that is not decoded. */
void account_dropped(struct pipeline *p, enum counter outcome, uint64_t epoch, uint64_t seq);
/* The running balances of the sequence. */
void account_sequence(struct pipeline *p);
void account_reset(struct pipeline *p);
void account_decoded(struct pipeline *p, const struct passage *b);
/* A frame for which no bin came. made_as: why it was due. */
void account_made(struct pipeline *p, const struct passage *b, enum counter made_as);

#endif
