/* ZeroMQ sockets with every option set that keeps a bad peer from hurting the daemon.
 */
#ifndef LATENTD_SOCKET_H
#define LATENTD_SOCKET_H

#include <stdbool.h>

#include "latent.h"

#define SOCKET_MAX_ENDPOINT 256
#define SOCKET_MAX_BYTES (1 << 20) /* of one part of a message, bins and frames */

enum socket_kind {
    SOCKET_SUB,
    SOCKET_PULL,
    SOCKET_PUB,
    SOCKET_CONTROL,
    SOCKET_N_KINDS
};

/* Open and attach. bound gets the endpoint in use, with the port that the system chose.
 * NULL and a text when the endpoint is taken or cannot be used. */
void *socket_open(void *context, enum socket_kind kind, bool bind, const char *endpoint,
                  char bound[SOCKET_MAX_ENDPOINT], struct latent_error *err);
/* Descriptor that becomes readable when something happened. It is edge-triggered: ask
 * socket_is_readable until it says no, and again after any other call on the socket. */
int socket_descriptor(void *socket);
bool socket_is_readable(void *socket);

#endif
