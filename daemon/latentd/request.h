/* Control requests answered. */
#ifndef LATENTD_REQUEST_H
#define LATENTD_REQUEST_H

#include <uv.h>

#include "latentd/daemon.h"

/* What requests are about, and the loop of the thread that takes them. */
struct request_ground {
    struct daemon *daemon;
    uv_loop_t *loop;
};

struct request;

/* What whoever asks may have done. */
enum request_right { REQUEST_NOTHING, REQUEST_TELLS, REQUEST_CHANGES };

/* Begin to do what the bytes of a packed Request ask for. Whatever they are, they are answered.
 * NULL: out of memory. */
struct request *request_take(struct request_ground *g, enum request_right right, const void *bytes,
                             size_t n_bytes);
/* Is the answer there? Orders and files take their time: look again while it is not. */
bool request_is_answered(struct request *r);
/* Does its answer need one of these streams? */
bool request_is_about(const struct request *r, const struct leave *leave);
/* The answer is that it is NOT DONE, unless it is there by now; what was ordered stays ordered. */
void request_give_up(struct request *r, const char *why);
/* The packed Reply, once there is an answer; to be freed. NULL: out of memory. */
void *request_reply(struct request *r, size_t *n_reply);
void request_free(struct request *r);

#endif
