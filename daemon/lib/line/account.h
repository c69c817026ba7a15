/* Counting, and telling the tap: each site of the line counts what it decided, so that
 * the ledgers check each other. */
#ifndef LINE_ACCOUNT_H
#define LINE_ACCOUNT_H

#include "line/inside.h"

void account_message(struct line *line, enum wire_refusal refusal);
/* A bin that is not decoded. */
void account_dropped(struct line *line, enum counter outcome, uint64_t epoch, uint64_t seq);
/* The running balances of the sequence. */
void account_sequence(struct line *line);
void account_reset(struct line *line);
void account_decoded(struct line *line, const struct bin_frame *b);
/* A frame for which no bin came. made_as: why it was due. */
void account_made(struct line *line, const struct bin_frame *b, enum counter made_as);

#endif
