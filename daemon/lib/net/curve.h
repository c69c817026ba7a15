/* CURVE on a ZeroMQ socket: either a server that is bound and asks who comes, or a client that
 * connects to a server whose key it knows. */
#ifndef NET_CURVE_H
#define NET_CURVE_H

#include "net/key_file.h"

/* Before zmq_bind. In the socket's context a ZAP handler must answer already: without one some
 * builds of libzmq let everybody in. domain: what the handler is told, not empty. 0, or -1 and
 * errno. */
int curve_serve(void *socket, const struct key_pair *own, const char *domain);
/* Before zmq_connect: present own, and talk to nobody but the owner of server. 0, or -1 and
 * errno. */
int curve_connect(void *socket, const struct key_pair *own, const uint8_t server[KEY_BYTES]);
/* The same for the files of a command line: both NULL leaves the socket as it is. 0, or negative
 * and a text. */
int curve_connect_files(void *socket, const char *own_path, const char *server_path,
                        struct latent_error *err);

#endif
