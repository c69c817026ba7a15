/* A PUB socket with a thread of its own: what libzmq does for its subscribers takes no time from
 * whoever publishes. Frames come to the thread over inproc. */
#ifndef NET_SINK_H
#define NET_SINK_H

#include <pthread.h>
#include <stdbool.h>

#include "net/socket.h"

/* Frames on their way to the thread: one that is too many is not taken. */
#define SINK_QUEUE_FRAMES 1000

struct sink {
    void *context;
    void *given, *taken; /* the ends of the queue: the publisher's, the thread's */
    void *subscribers;
    pthread_t thread;
    bool is_running;
};

/* Open the socket and start the thread; bound as of socket_open. On error a text; sink_close is
 * due in both cases. */
int sink_open(struct sink *s, void *context, const struct socket_end *end,
              const struct thread_wish *wish, char bound[SOCKET_MAX_ENDPOINT],
              struct latent_error *err);
/* Two parts, in one thread at a time. Never waits. 0, or -1: the queue is full. */
int sink_send(struct sink *s, const char *topic, const void *bytes, size_t n_bytes);
/* All that was sent is handed to the subscribers' queues before the socket closes, as socket_close
 * does; it lingers as its context ends. */
void sink_close(struct sink *s, bool is_waited_for);

#endif
