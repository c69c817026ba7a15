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
    char name[CONF_MAX_NAME + 1]; /* the configuration's */
    uint32_t roles;               /* enum conf_role */
    uint8_t key[KEY_BYTES];
    char user[KEY_TEXT]; /* the key as text: the "User-Id" of all messages of its owner */
};

/* Those of one reading of the configuration: never changed, and kept until the end, so that any
 * thread may hold on to one. */
struct access_clients {
    struct access_clients *before; /* that they replaced */
    size_t n;
    struct access_client client[]; /* [n] */
};

struct access {
    bool encrypts; /* there is an own key */
    struct key_pair own;
    _Atomic(struct access_clients *) clients; /* in force */
    /* Handshakes that came as far as their key, by the ZAP handlers. */
    _Atomic uint64_t n_accepted[ACCESS_N_DOORS], n_refused[ACCESS_N_DOORS];
    _Atomic bool handler_failed; /* nobody can connect any more */
};

/* Read all key files that the configuration names but those of servers. Mistakes become
 * problems of c: then -1. access_close is due in both cases. */
int access_open(struct access *a, struct conf *c);
void access_close(struct access *a);

/* The clients of a configuration, to be freed until they are in force. Mistakes become problems of
 * c: then -1, and *out is NULL. */
int access_read(struct access_clients **out, struct conf *c);
/* From now on these, and nobody else. */
void access_replace(struct access *a, struct access_clients *clients);
/* Is there anybody who came in by this door before, and may not any more? */
bool access_is_narrower(const struct access_clients *before, const struct access_clients *after,
                        enum access_door door);

const char *access_door_name(enum access_door door); /* also its ZAP domain */
/* ACCESS_N_DOORS: none has this name. */
enum access_door access_door_named(const char *name, size_t n);
/* In force: NULL: nobody has this key; or user is NULL, or the key of nobody any more. Neither
 * waits nor allocates. */
const struct access_client *access_find_key(const struct access *a, const uint8_t key[KEY_BYTES]);
const struct access_client *access_find_user(const struct access *a, const char *user);
/* Does one of the client's roles open the door? NULL: nobody's do. */
bool access_admits(const struct access_client *client, enum access_door door);

/* How a socket is to be encrypted: bound to TCP by the own key, if there is one, for
 * the door; connected by server_key, if there is one; else not at all. */
void access_secure(const struct access *a, enum access_door door, const uint8_t *server_key,
                   struct socket_end *end);

#endif
