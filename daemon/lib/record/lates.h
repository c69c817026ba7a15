/* What late bins of a record waited for, as it was told while they were recorded. */
#ifndef RECORD_LATES_H
#define RECORD_LATES_H

#include <stdbool.h>

#include "record/reading.h"
#include "why/explain.h"

struct lates;

/* In the order in which they were told. 0, or negative and a text. Of a record from before there
 * were any, none. */
int lates_open(struct lates **out, struct reading *r, struct latent_error *err);
/* Does the record have room for them? false: its latentd did not tell. */
bool lates_are_told(const struct lates *l);
/* false: there is no more, or it cannot be read. */
bool lates_next(struct lates *l, struct why_bin *out);
void lates_close(struct lates *l); /* NULL is allowed */

#endif
