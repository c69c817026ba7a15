/* The options of libzmq that make a socket CURVE. */
#include "net/curve.h"

#include <string.h>
#include <zmq.h>

#include "base/text.h"

/* A draft option, so without a name in Debian's header: a socket with a domain lets nobody in while
 * there is no handler, instead of everybody. Where libzmq lacks it, the order in which handler and
 * sockets open and close must do. */
#define ZAP_ENFORCE_DOMAIN 93

static int set_key(void *socket, int option, const uint8_t key[KEY_BYTES])
{
    return zmq_setsockopt(socket, option, key, KEY_BYTES);
}

int curve_serve(void *socket, const struct key_pair *own, const char *domain)
{
    const int is_server = 1, enforce = 1;

    (void)zmq_setsockopt(socket, ZAP_ENFORCE_DOMAIN, &enforce, sizeof enforce);
    if (zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain))) return -1;
    if (set_key(socket, ZMQ_CURVE_SECRETKEY, own->secret)) return -1;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &is_server, sizeof is_server);
}

int curve_connect(void *socket, const struct key_pair *own, const uint8_t server[KEY_BYTES])
{
    if (set_key(socket, ZMQ_CURVE_PUBLICKEY, own->public)) return -1;
    if (set_key(socket, ZMQ_CURVE_SECRETKEY, own->secret)) return -1;
    return set_key(socket, ZMQ_CURVE_SERVERKEY, server);
}

static int connect_files(void *socket, const char *own_path, const char *server_path,
                         struct key_pair *own, struct latent_error *err)
{
    uint8_t server[KEY_BYTES];
    int status = key_file_read_pair(own_path, own, err);

    if (!status) status = key_file_read_public(server_path, server, err);
    if (status || curve_connect(socket, own, server) == 0) return status;
    return error_text(err, LATENT_E_IO, "cannot encrypt: %s", zmq_strerror(zmq_errno()));
}

int curve_connect_files(void *socket, const char *own_path, const char *server_path,
                        struct latent_error *err)
{
    struct key_pair own;
    int status;

    if (!own_path && !server_path) return 0;
    if (!own_path || !server_path)
        return error_text(err, LATENT_E_CONFIG,
                          "--key (one's own secret key file) and --server-key (the "
                          "public key file of the other side) go together");
    status = connect_files(socket, own_path, server_path, &own, err);
    key_pair_forget(&own);
    return status;
}
