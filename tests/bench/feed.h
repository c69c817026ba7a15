/* The line of a stream, without sockets, and messages for it: bytes of a message in,
 * bytes of a frame out, to a sink that does nothing with them. */
#ifndef BENCH_FEED_H
#define BENCH_FEED_H

#include <stddef.h>

#define FEED_MESSAGES 4096 /* packed at once, at most */

struct feed;

/* From the options --model, --mode, --counts, --bins and --trial; ends as absent when
 * that cannot be. */
struct feed *feed_open(int argc, char **argv);
/* Make the next n messages. */
void feed_pack(struct feed *f, size_t n);
/* Send message i of those packed last through the line. */
void feed_step(struct feed *f, size_t i);
/* Frames made so far, those OUTSIDE of a trial not counted. */
size_t feed_frames(const struct feed *f);
void feed_close(struct feed *f);

#endif
