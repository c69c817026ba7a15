/* One request to a running latentd, one reply. */
#ifndef CONTROL_ASK_H
#define CONTROL_ASK_H

#include "latent.h"
#include "latent.pb-c.h"

struct client_server {
    const char *endpoint;
    /* For an encrypted endpoint; otherwise both NULL. */
    const char *own_key_path, *server_key_path;
};

/* Ask and wait. The reply is to be freed with latent__v1__reply__free_unpacked. NULL and a text
 * when none came, or one that cannot be read. */
Latent__V1__Reply *client_ask(const struct client_server *server,
                              const Latent__V1__Request *request, int timeout_ms,
                              struct latent_error *err);

#endif
