/* Binding and connecting for programs: what went wrong, and where it went. */
#include "source/attach.h"

#include <errno.h>
#include <stdio.h>
#include <zmq.h>

#include "base/text.h"
#include "net/socket.h"

int source_attach(void *socket, const char *program, const char *what, const char *endpoint,
                  int bind, struct latent_error *err)
{
    char actual[256];
    size_t n = sizeof actual;
    int status = bind ? socket_path_check(endpoint, err) : 0;
    if (status) return status;
    int failed = bind ? zmq_bind(socket, endpoint) : zmq_connect(socket, endpoint);
    if (failed)
        return error_text(err, LATENT_E_IO,
                          "cannot %s to %s: %s (expected e.g. tcp://127.0.0.1:5570 or ipc:///path)",
                          bind ? "bind" : "connect", endpoint, zmq_strerror(errno));
    if (bind && zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, actual, &n) == 0)
        fprintf(stderr, "%s: %s at %s\n", program, what, actual);
    return 0;
}
