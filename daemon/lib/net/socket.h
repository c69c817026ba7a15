/* ZeroMQ sockets with every option set that keeps a bad peer from hurting the daemon. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "latent.h"

#define SOCKET_MAX_ENDPOINT 256

struct key_pair;

enum socket_kind { SOCKET_SUB, SOCKET_PULL, SOCKET_PUB, SOCKET_CONTROL, SOCKET_N_KINDS };

/* Where a socket is attached, and how. */
struct socket_end {
    bool bind; /* or connect */
    const char *endpoint;
    /* CURVE; own NULL: plaintext. */
    const struct key_pair *own;
    const uint8_t *server_key; /* [KEY_BYTES] who must be there, if it connects */
    const char *zap_domain;    /* what the handler of keys is told, if it binds */
};

/* All threads that the ZeroMQ context will make. Call before its first socket, with a checked wish:
 * libzmq aborts when it is refused. */
void socket_context_wish(void *context, const struct thread_wish *wish);
/* May this ipc endpoint be bound? Binding removes what stands at its path: only a socket of this
 * user at which nobody listens may go. 0 for every other endpoint; negative and a text. */
int socket_path_check(const char *endpoint, struct latent_error *err);
/* Open and attach. bound gets the endpoint in use, with the port that the system chose. NULL and a
 * text when the endpoint is taken or cannot be used. */
void *socket_open(void *context, enum socket_kind kind, const struct socket_end *end,
                  char bound[SOCKET_MAX_ENDPOINT], struct latent_error *err);
/* Close it. One that asks a handler of keys is gone when this returns, with all who were still
 * knocking: until then the handler must stay. With is_waited_for, any other, too: its endpoint can
 * be bound again. */
void socket_close(void *context, void *socket, bool is_waited_for);
/* Descriptor that becomes readable when something happened. It is edge-triggered: ask
 * socket_is_readable until it says no, and again after any other call on the socket. */
int socket_descriptor(void *socket);
bool socket_is_readable(void *socket);

#endif
