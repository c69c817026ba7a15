/* The mask in short, and the channels one by one where they are asked for. */
#include "latentd/masking_status.h"

#include <stdlib.h>

#include "base/channels.h"

Latent__V1__Masking *masking_status_fill(struct masking_status *b, const struct stream *s)
{
    const struct masking *m = &s->masking;

    latent__v1__masking__init(&b->message);
    channels_write(m->bits, m->n_channels, b->list, sizeof b->list);
    b->message.version = m->version;
    b->message.n_masked = (uint32_t)channels_count(m->bits, m->n_channels);
    b->message.n_most = m->most;
    b->message.masked = b->list;
    b->message.possible = m->is_possible;
    return &b->message;
}

int masking_status_add(struct masking_status *b, const struct stream *s)
{
    uint32_t n = s->info.n_channels;

    b->channel = calloc(n, sizeof *b->channel);
    b->channels = calloc(n, sizeof(void *));
    if (!b->channel || !b->channels) return -1;
    for (uint32_t c = 0; c < n; c++) {
        Latent__V1__Channel *m = &b->channel[c];

        latent__v1__channel__init(m);
        m->number = c;
        if (s->info.channel_names) m->name = (char *)(uintptr_t)s->info.channel_names[c];
        m->masked = channels_has(s->masking.bits, c);
        if (s->info.channel_mean) m->mean = s->info.channel_mean[c];
        b->channels[c] = m;
    }
    b->message.n_channels = n;
    b->message.channels = b->channels;
    return 0;
}

void masking_status_free(struct masking_status *b)
{
    free(b->channel);
    free(b->channels);
}
