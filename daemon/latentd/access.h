/* Keys: latentd's own, those of the clients that may connect, and what each may do. */
#ifndef LATENTD_ACCESS_H
#define LATENTD_ACCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "net/key_file.h"
#include "net/socket.h"

/* The kinds of sockets that clients connect to. */
enum access_door { ACCESS_INPUT, ACCESS_OUTPUT, ACCESS_CONTROL, ACCESS_N_DOORS };

struct access_client {
    const char *name; /* the configuration's */
    uint32_t roles;   /* enum conf_role */
    uint8_t key[KEY_BYTES];
};

struct access {
    bool encrypts; /* there is an own key */
    struct key_pair own;
    struct access_client *clients; /* [n_clients] */
    size_t n_clients;
    /* Handshakes that came as far as their key, by the ZAP handlers. */
    _Atomic uint64_t n_accepted[ACCESS_N_DOORS], n_refused[ACCESS_N_DOORS];
    _Atomic bool handler_failed; /* nobody can connect any more */
};

/* Read all key files that the configuration names but those of servers. Mistakes become
 * problems of c: then -1. access_close is due in both cases. */
int access_open(struct access *a, struct conf *c);
void access_close(struct access *a);

const char *access_door_name(enum access_door door); /* also its ZAP domain */
/* ACCESS_N_DOORS: none has this name. */
enum access_door access_door_named(const char *name, size_t n);
/* NULL: nobody has this key, or name. */
const struct access_client *access_find_key(const struct access *a, const uint8_t key[KEY_BYTES]);
const struct access_client *access_find_name(const struct access *a, const char *name);
/* Does one of the client's roles open the door? */
bool access_admits(const struct access_client *client, enum access_door door);

/* How a socket is to be encrypted: bound to TCP by the own key, if there is one, for
 * the door; connected by server_key, if there is one; else not at all. */
void access_secure(const struct access *a, enum access_door door, const uint8_t *server_key,
                   struct socket_end *end);

#endif
