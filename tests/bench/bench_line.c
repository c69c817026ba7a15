/* Benchmark worker: the line of a stream, bytes of a message in, bytes of a frame out. */
#include "feed.h"
#include "worker.h"

/* Packing is outside of all but one time in so many. */
static void line_step(void *context, size_t i)
{
    struct feed *f = context;
    if (i % FEED_MESSAGES == 0) feed_pack(f, FEED_MESSAGES);
    feed_step(f, i % FEED_MESSAGES);
}

/* So that a line that refuses everything is noticed. */
static size_t line_values(void *context, float *out, size_t cap)
{
    if (cap) out[0] = (float)feed_frames(context);
    return 1;
}

int main(int argc, char **argv)
{
    struct feed *f = feed_open(argc, argv);
    struct worker w = {f, line_step, line_values, NULL};
    worker_run(&w, "the line, without sockets");
    feed_close(f);
    return 0;
}
