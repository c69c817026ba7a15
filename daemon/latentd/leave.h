/* Streams that a reload takes away, with the data loops that serve nobody else: led to SAFE as at
 * the end of latentd, then closed in libuv's pool, where sockets and records may take their time.
 * No loop that stays is touched. All of it belongs to the control thread. */
#ifndef LATENTD_LEAVE_H
#define LATENTD_LEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct daemon;
struct leave;
struct stream;

/* Of the streams of d for which is_gone [streams of d] says so; none: *out is NULL. 0; or -1 and
 * why [n_why] they cannot go. Nothing has been touched in any case. */
int leave_new(struct leave **out, struct daemon *d, const bool *is_gone, char *why, size_t n_why);
/* Of daemon_part: their loops are ordered to stop; l becomes d->leave. */
void leave_begin(struct leave *l);
/* So long an answer waits for them: the longest lease. */
uint64_t leave_lease_ns(const struct leave *l);
/* Not while they are being closed. */
bool leave_has(const struct leave *l, const struct stream *s);
/* Have all of their threads ended? Orders that came before are carried out then. */
bool leave_has_stopped(const struct leave *l);
/* Then, once no request is about them: close them, in the pool of loop; *l is gone when d->leave is
 * NULL again. */
void leave_close(struct leave *l, uv_loop_t *loop);
bool leave_is_closing(const struct leave *l);
/* At the end of latentd: wait for their threads, unless they are being closed. NULL is allowed. */
void leave_stop(struct leave *l);
/* One that was not begun; or that was stopped: all is closed here. NULL is allowed. */
void leave_free(struct leave *l);

#endif
