/* A REQ socket for a single exchange. */
#include "control/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/memory.h"
#include "base/text.h"
#include "net/curve.h"
#include "net/message.h"

static int attach(void *socket, const struct client_server *server, struct latent_error *err)
{
    int status = curve_connect_files(socket, server->own_key_path, server->server_key_path, err);

    if (status || zmq_connect(socket, server->endpoint) == 0) return status;
    return error_text(err, LATENT_E_IO,
                      "%s: cannot connect: %s; expected --control ipc://PATH or tcp://HOST:PORT",
                      server->endpoint, zmq_strerror(errno));
}

static void *open_socket(void *context, const struct client_server *server, int timeout_ms,
                         struct latent_error *err)
{
    void *socket = zmq_socket(context, ZMQ_REQ);
    int linger_ms = 0;

    if (!socket) {
        error_text(err, LATENT_E_NOMEM, "no socket: %s", zmq_strerror(errno));
        return NULL;
    }
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    if (attach(socket, server, err) == 0) return socket;
    zmq_close(socket);
    return NULL;
}

static int send_request(void *socket, const Latent__V1__Request *request)
{
    size_t n = latent__v1__request__get_packed_size(request);
    uint8_t *bytes = memory_need(malloc(n + 1));
    int status = -1;

    latent__v1__request__pack(request, bytes);
    if (zmq_send(socket, bytes, n, 0) >= 0) status = 0;
    free(bytes);
    return status;
}

/* Every text in it, however deep, is safe for a terminal afterwards: anybody may answer. White
 * space becomes blanks, which in JSON means the same. */
static void texts_clean(ProtobufCMessage *m);

static void text_clean(char *text)
{
    for (char *at = text; *at; at++)
        if (*at == '\n' || *at == '\t' || *at == '\r') *at = ' ';
    printable(text);
}

static void field_clean(const ProtobufCFieldDescriptor *field, void *member)
{
    if (field->type == PROTOBUF_C_TYPE_STRING && *(char **)member) text_clean(*(char **)member);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && *(ProtobufCMessage **)member)
        texts_clean(*(ProtobufCMessage **)member);
}

static void texts_clean(ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &m->descriptor->fields[i];
        char *member = (char *)m + field->offset;

        if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            field_clean(field, member);
            continue;
        }
        for (size_t k = 0; k < *(size_t *)((char *)m + field->quantifier_offset); k++)
            field_clean(field, *(char **)member + k * sizeof(void *));
    }
}

static Latent__V1__Reply *receive_reply(void *socket, const struct client_server *server,
                                        struct latent_error *err)
{
    Latent__V1__Reply *reply = NULL;
    struct message m;

    if (message_receive(&m, socket, 1, 0)) {
        error_text(err, LATENT_E_IO,
                   "no answer at %s; is latentd running, and does its [latentd] control "
                   "name this endpoint? (latentctl --control ENDPOINT)%s",
                   server->endpoint,
                   server->own_key_path ? " Is --server-key its key, and does a [client NAME] "
                                          "of it have ours?"
                                        : "");
        return NULL;
    }
    if (!m.n_surplus)
        reply = latent__v1__reply__unpack(NULL, zmq_msg_size(&m.part[0]), zmq_msg_data(&m.part[0]));
    message_close(&m);
    if (!reply)
        error_text(err, LATENT_E_FORMAT, "the answer at %s is not latentd's", server->endpoint);
    else
        texts_clean(&reply->base);
    return reply;
}

Latent__V1__Reply *client_ask(const struct client_server *server,
                              const Latent__V1__Request *request, int timeout_ms,
                              struct latent_error *err)
{
    void *context = memory_need(zmq_ctx_new());
    void *socket = open_socket(context, server, timeout_ms, err);
    Latent__V1__Reply *reply = NULL;

    if (socket) {
        send_request(socket, request); /* what could not be sent is not answered */
        reply = receive_reply(socket, server, err);
        zmq_close(socket);
    }
    zmq_ctx_term(context);
    return reply;
}
