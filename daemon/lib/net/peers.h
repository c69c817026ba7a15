/* What the peers of output sockets may send.
 *
 * Subscribers are input: libzmq keeps each topic, a node per byte, in a tree that it walks when
 * any peer leaves, and aborts when it gets no memory. No option of its own bounds that. So what a
 * peer sends is counted where libzmq receives it, and what comes of it where the topics are read;
 * a peer that sends more than a consumer ever has to is cut off. */
#ifndef NET_PEERS_H
#define NET_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one peer, on the wire: at once, and from then on. A consumer sends less than 200 bytes, with
 * keys less than 1,000; a heartbeat each second takes 9, with keys 60. */
#define PEERS_BURST_BYTES 8192
#define PEERS_BYTES_PER_S 64
/* Topics that nobody else has: of one peer, and of all together. Then the peer that brought most
 * of them is cut off. Each counts its bytes and PEERS_TOPIC_BYTES. */
#define PEERS_TOPICS_BYTES 4096
#define PEERS_ALL_TOPICS_BYTES 16384
#define PEERS_TOPIC_BYTES 16

struct peers_counts {
    uint64_t n_open;        /* peers that have sent something */
    uint64_t n_topic_bytes; /* as above */
    uint64_t n_cut;         /* peers cut off, since the start */
};

/* All peers of this ZeroMQ context's sockets, the only such one of the process. Call before its
 * first socket. */
void peers_limit(void *context);
/* A topic of n_bytes came to be there, or is no more; fd: the connection that it came by, or -1. */
void peers_on_topic(int fd, bool is_new, size_t n_bytes);
/* Cut off all of them that came over a network: who may come back does so by itself. */
void peers_cut_all(void);
struct peers_counts peers_counts(void); /* from any thread, none of them a data thread */

#endif
