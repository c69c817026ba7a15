/* Is what a record says came out what comes out? */
#ifndef REPLAY_VERIFY_H
#define REPLAY_VERIFY_H

#include "latent.h"

/* Run the record once more and compare every frame, action and outcome; prints the
 * result. model_path NULL: where the record says. 0: all the same; 1: something
 * differs; negative and a text: it cannot be told. */
int verify_run(const char *record, const char *model_path, struct latent_error *err);

#endif
