/* Reading models into the caches before their bins come. */
#include "latentd/warm.h"

#include "latentd/stream.h"

/* When the reading for the next bin falls due; UINT64_MAX: never, or it is done. */
static uint64_t due_ns(const struct stream *s)
{
    uint64_t wanted_ns = s->conf->values.warm_ns;
    uint64_t warm_ns = wanted_ns < s->bin_ns ? wanted_ns : s->bin_ns;

    if (warm_ns == 0 || s->recv_ns == s->warmed_ns) return UINT64_MAX;
    return s->recv_ns + s->bin_ns - warm_ns;
}

bool warm_is_due(const struct stream *s, uint64_t now_ns)
{
    uint64_t begin_ns = due_ns(s);

    return begin_ns <= now_ns && now_ns < s->recv_ns + s->bin_ns;
}

void warm_streams(struct stream *const *streams, size_t n_streams, uint64_t now_ns)
{
    for (size_t i = 0; i < n_streams; i++) {
        if (!warm_is_due(streams[i], now_ns)) continue;
        latent_decoder_warm(streams[i]->in_line->decoder);
        streams[i]->warmed_ns = streams[i]->recv_ns;
    }
}

uint64_t warm_next_ns(struct stream *const *streams, size_t n_streams, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < n_streams; i++) {
        uint64_t begin_ns = due_ns(streams[i]);
        if (warm_is_due(streams[i], now_ns)) return now_ns;
        if (begin_ns > now_ns && begin_ns < next_ns) next_ns = begin_ns;
    }
    return next_ns;
}
