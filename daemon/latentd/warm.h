/* Warming: between bins other programs push a model out of the caches, and its next
 * step waits for memory. So, the key warm-ms before a bin is expected, which is one bin
 * after the last, the data loop reads the weights and the state of the stream once. A
 * source that stops costs one reading.
 *
 * In the thread of the loop. No system call. */
#ifndef LATENTD_WARM_H
#define LATENTD_WARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream;

/* Is the bin after the last one near, and was nothing read for it yet? */
bool warm_is_due(const struct stream *s, uint64_t now_ns);
/* Read for each stream for which it is due. */
void warm_streams(struct stream *const *streams, size_t n_streams, uint64_t now_ns);
/* When the next reading falls due, now_ns at the earliest; UINT64_MAX: none known. */
uint64_t warm_next_ns(struct stream *const *streams, size_t n_streams, uint64_t now_ns);

#endif
