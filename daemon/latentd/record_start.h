/* The operator's wish for a record, from the path to the answer. Whatever touches the disk happens
 * in a thread of libuv's pool or of the recorder, never in the control thread. */
#ifndef LATENTD_RECORD_START_H
#define LATENTD_RECORD_START_H

#include <uv.h>

#include "latentd/recording.h"

struct record_start;

/* Begin to check path, and, but for a dry run, to make the recorder; in the loop of the calling
 * thread. RECORDING_OWED and *out; or REFUSED, a text and NULL. */
enum recording_answer record_start_new(struct record_start **out, struct recording *r,
                                       uv_loop_t *loop, const char *path, bool dry_run,
                                       struct recording_told *told);
/* To be called until the answer is not OWED; the text says how it went. It is gone then. */
enum recording_answer record_start_look(struct record_start *s, uint64_t now_ns,
                                        struct recording_told *told);
/* Nobody looks any more: it ends by itself. */
void record_start_give_up(struct record_start *s);

#endif
