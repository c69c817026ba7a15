/* The mask in short, and the channels one by one where they are asked for. */
#include "latentd/masking_status.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/channels.h"

/* protobuf-c has no const; packing only reads. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static uint32_t count_bad(const struct bad_channels *bad)
{
    uint32_t n = 0;

    for (uint32_t c = 0; c < bad_channels_size(bad); c++)
        n += bad_channels_verdict(bad, c) != CHANNEL_GOOD;
    return n;
}

static void fill_bad(struct masking_status *b, const struct stream *s)
{
    static const char *const modes[] = {
        [CONF_BAD_OFF] = "off", [CONF_BAD_PROPOSE] = "propose", [CONF_BAD_AUTO] = "auto"};
    const struct channel_watch *w = &s->watch;
    uint32_t mode = s->conf->values.bad_channels;
    Latent__V1__Masking *m = &b->message;

    m->bad_channels = text(modes[mode]);
    snprintf(b->judged_by, sizeof b->judged_by, "%s%s", w->basis ? w->basis : "nothing: ",
             w->basis ? "" : (mode == CONF_BAD_OFF ? "bad-channels = off" : w->why));
    m->judged_by = b->judged_by;
    m->n_auto = (uint32_t)channels_count(w->masker.own, s->masking.n_channels);
    m->n_unseen = w->n_unseen;
    if (!w->bad) return;
    m->n_bad = count_bad(w->bad);
    m->n_judged = bad_channels_bins(w->bad);
    m->n_artefacts = bad_channels_artefacts(w->bad);
    masker_propose(&w->masker, s->masking.bits, w->set);
    m->n_proposed = (uint32_t)channels_count(w->set, s->masking.n_channels);
    channels_write(w->set, s->masking.n_channels, b->proposed, sizeof b->proposed);
    m->proposed = b->proposed;
}

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
    fill_bad(b, s);
    return &b->message;
}

/* ---- the channels ---- */

static const char *who(const struct stream *s, uint32_t c)
{
    const struct channel_watch *w = &s->watch;

    if (channels_has(s->masking.bits, c))
        return channels_has(w->masker.own, c) ? "auto" : "operator";
    if (!w->bad || bad_channels_verdict(w->bad, c) == CHANNEL_GOOD) return "";
    return channels_has(w->masker.kept, c) ? "kept" : "proposed";
}

static void fill_statistics(Latent__V1__Channel *m, const struct bad_channels *bad)
{
    struct bad_channels_summary now;

    bad_channels_read(bad, m->number, &now);
    m->verdict = text(bad_channels_verdict_name(now.verdict));
    m->now = now.mean;
    m->z = now.z;
    m->variance_ratio = now.variance_ratio;
    m->zeros = now.zeros;
    m->saturated = now.saturated;
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
        if (s->info.channel_names) m->name = text(s->info.channel_names[c]);
        m->masked = channels_has(s->masking.bits, c);
        if (s->info.channel_mean) m->mean = s->info.channel_mean[c];
        m->who = text(who(s, c));
        if (s->watch.bad) fill_statistics(m, s->watch.bad);
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
