/* Publishing. */
#include "latentd/output.h"

#include <stdio.h>

#include "latentd/stream.h"

int output_open(struct output *o, const struct stream *s, struct latent_error *err)
{
    const struct conf_stream *v = &s->conf->values;
    struct socket_end end = {.bind = v->output_attach == CONF_BIND, .endpoint = v->output};

    snprintf(o->endpoint, sizeof o->endpoint, "%s", v->output);
    access_secure(s->access, ACCESS_OUTPUT, v->output_server_key ? s->output_server : NULL, &end);
    return sink_open(&o->sink, s->outputs->context, &end, &s->outputs->wish, o->bound, err);
}

int output_send(struct output *o, const char *topic, const void *bytes, size_t n_bytes)
{
    return sink_send(&o->sink, topic, bytes, n_bytes);
}

static int send_frame(void *ctx, const char *topic, const void *bytes, size_t n_bytes)
{
    return output_send(ctx, topic, bytes, n_bytes);
}

struct line_sink output_sink(struct output *o)
{
    return (struct line_sink){.send = send_frame, .ctx = o};
}

void output_close(struct output *o, bool is_waited_for)
{
    sink_close(&o->sink, is_waited_for);
}
