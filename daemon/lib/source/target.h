/* What latentd says, at its output, of the stream that bins are meant for: what it takes
 * (NAME/info), and whether frames come of them. Without it a sender learns nothing: bins that do
 * not fit are refused at the other end, where only latentd's log and status tell. */
#ifndef SOURCE_TARGET_H
#define SOURCE_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "source/source.h"

struct target;

/* Asks at options->output, in plaintext or with the keys of options, and waits for up to 2 s. No
 * answer is said on stderr, and no mistake. 0; negative and a text: the stream takes other bins, or
 * there is none of this name. */
int target_open(struct target **out, void *context, const struct source_options *options,
                struct latent_error *err);
/* Without waiting: has a frame come of a bin of this epoch? */
bool target_look(struct target *t, uint64_t epoch);
/* Waits for one, up to 2 s. 0, or negative and a text: none of the bins was taken. */
int target_check_taken(struct target *t, uint64_t epoch, struct latent_error *err);
/* Without waiting: has any frame come since the last look? */
bool target_hears(struct target *t);
void target_close(struct target *t); /* NULL is allowed */

#endif
