/* A PUB socket, behind a thread of its own, that one or several streams of one data loop send
 * through. */
#ifndef LATENTD_OUTPUT_H
#define LATENTD_OUTPUT_H

#include "line/line.h"
#include "net/sink.h"

struct stream;

/* What all outputs share. */
struct outputs {
    void *context;           /* ZeroMQ; no other socket is in it */
    struct thread_wish wish; /* of their threads; checked */
};

struct output {
    struct sink sink;
    char endpoint[SOCKET_MAX_ENDPOINT]; /* as configured: what streams share it by */
    char bound[SOCKET_MAX_ENDPOINT];
};

int output_open(struct output *o, const struct stream *s, struct latent_error *err);
/* For a line: never blocks; a subscriber that is slow loses the frame and sees it in pub_seq. */
struct line_sink output_sink(struct output *o);
/* Two parts. 0, or -1 when the socket did not take them. */
int output_send(struct output *o, const char *topic, const void *bytes, size_t n_bytes);
void output_close(struct output *o, bool is_waited_for); /* as socket_close */

#endif
