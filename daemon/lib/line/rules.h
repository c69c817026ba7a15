/* What of a line's options may change while it runs: deadlines, and what is done about bins that
 * are late, missing or silent. None of them reaches the decoder's numbers or the memory that a line
 * has. They are in its snapshots, and a change is an entry, so that a record tells when it was. */
#ifndef LINE_RULES_H
#define LINE_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "line/line.h"

#define RULES_BYTES 96 /* at least as many as they take, packed */

struct serial;

struct rules {
    uint64_t budget_ns, valid_for_ns, max_jump_bins;
    struct line_policy policy; /* but on_gap and safe_start */
};

struct rules rules_of(const struct line_options *options);
/* One field after the other; what is read can be what it says. */
void rules_visit(struct serial *f, struct rules *r);
/* As LINE_RULES has them; the number of bytes. */
size_t rules_pack(const struct rules *r, unsigned char bytes[RULES_BYTES]);
/* false: not rules. */
bool rules_unpack(struct rules *r, const void *bytes, size_t n_bytes);
/* In force from here on: on_gap and safe_start stay. */
void rules_take(struct line *line, const struct rules *r);
/* The entry LINE_RULES. What waits for a bin waits by the new rules, from t_ns on; a SAFE that the
 * operator alone is to end waits for him from now on, and one that began so goes on to. */
void rules_enter(struct line *line, const struct line_event *entry);

#endif
