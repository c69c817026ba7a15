/* Does the receiver's kind of socket go with ours? libzmq ends a connection that does not, in the
 * handshake and without a reason; its monitor shows that much. */
#ifndef SOURCE_PEER_H
#define SOURCE_PEER_H

#include <stdbool.h>
#include <stdint.h>

struct peer {
    void *monitor;
    uint64_t n_shaken, n_refused; /* got through the handshake; left in it */
};

/* Before the socket connects or binds. 0, or -1 and errno. */
int peer_open(struct peer *p, void *context, void *socket);
/* Before the socket is closed. */
void peer_close(struct peer *p, void *socket);
/* What happened since; true: somebody came, and none got through the handshake. */
bool peer_refuses(struct peer *p);

#endif
