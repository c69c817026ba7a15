/* Verifying a record: the same entries give the same frames. */
#ifndef REPLAY_VERIFY_H
#define REPLAY_VERIFY_H

#include "latent.h"

enum { VERIFY_DIFFERENT = 1, VERIFY_OTHER_CONTRACT };

/* Runs the record once more, compares every frame, action and outcome, and prints the result.
 * model_path NULL: where the record says. 0: all are the same; VERIFY_OTHER_CONTRACT:
 * likewise, but its readouts are those of an earlier contract; VERIFY_DIFFERENT; negative and a
 * text: it cannot be told. */
int verify_run(const char *record, const char *model_path, struct latent_error *err);

#endif
