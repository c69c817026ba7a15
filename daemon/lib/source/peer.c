/* DISCONNECTED before any HANDSHAKE_SUCCEEDED: left in the handshake. */
#include "source/peer.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "net/message.h"

int peer_open(struct peer *p, void *context, void *socket)
{
    char address[64];

    *p = (struct peer){0};
    snprintf(address, sizeof address, "inproc://peer-%p", socket);
    if (zmq_socket_monitor(socket, address, ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED))
        return -1;
    p->monitor = zmq_socket(context, ZMQ_PAIR);
    return p->monitor ? zmq_connect(p->monitor, address) : -1;
}

void peer_close(struct peer *p, void *socket)
{
    int none = 0;

    if (!p->monitor) return;
    zmq_socket_monitor(socket, NULL, 0);
    zmq_setsockopt(p->monitor, ZMQ_LINGER, &none, sizeof none);
    zmq_close(p->monitor);
    p->monitor = NULL;
}

bool peer_refuses(struct peer *p)
{
    struct message m; /* event, 16 bits and a value; then the address */

    while (p->monitor && message_receive(&m, p->monitor, 2, ZMQ_DONTWAIT) == 0) {
        uint16_t event = 0;

        if (zmq_msg_size(&m.part[0]) >= sizeof event)
            memcpy(&event, zmq_msg_data(&m.part[0]), sizeof event);
        p->n_shaken += event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        p->n_refused += event == ZMQ_EVENT_DISCONNECTED && p->n_shaken == 0;
        message_close(&m);
    }
    return p->n_refused > 0 && p->n_shaken == 0;
}
