/* Publishing. */
#include "latentd/output.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "latentd/stream.h"

int output_open(struct output *o, void *context, const struct stream *s, struct latent_error *err)
{
    const struct conf_stream *v = &s->conf->values;
    struct socket_end end = {.bind = v->output_attach == CONF_BIND, .endpoint = v->output};

    o->context = context;
    snprintf(o->endpoint, sizeof o->endpoint, "%s", v->output);
    access_secure(s->access, ACCESS_OUTPUT, v->output_server_key ? s->output_server : NULL, &end);
    o->socket = socket_open(context, SOCKET_PUB, &end, o->bound, err);
    return o->socket ? 0 : err->status;
}

int output_send(struct output *o, const char *topic, const void *bytes, size_t n_bytes)
{
    if (zmq_send(o->socket, topic, strlen(topic), ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) return -1;
    return zmq_send(o->socket, bytes, n_bytes, ZMQ_DONTWAIT) < 0 ? -1 : 0;
}

static int send_frame(void *ctx, const char *topic, const void *bytes, size_t n_bytes)
{
    return output_send(ctx, topic, bytes, n_bytes);
}

struct line_sink output_sink(struct output *o)
{
    return (struct line_sink){.send = send_frame, .ctx = o};
}

void output_close(struct output *o)
{
    if (o->socket) socket_close(o->context, o->socket);
    o->socket = NULL;
}
