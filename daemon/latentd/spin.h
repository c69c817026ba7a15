/* Busy polling: near the time at which a bin is expected, the data loop asks its
 * sockets again and again instead of sleeping, so that no wake-up stands between a bin
 * and its step. The window is the key spin-ms, at most a bin, before and after the
 * expected arrival, which is one bin after the last: a source that stops costs one
 * window.
 *
 * In the thread of the loop. No system call but libzmq's own poll on an eventfd. */
#ifndef LATENTD_SPIN_H
#define LATENTD_SPIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream;

/* Does the window of a stream hold now_ns? */
bool spin_is_due(struct stream *const *streams, size_t n_streams, uint64_t now_ns);
/* When the next window begins after now_ns; UINT64_MAX: none is known. */
uint64_t spin_next_ns(struct stream *const *streams, size_t n_streams, uint64_t now_ns);

#endif
