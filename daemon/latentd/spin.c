/* Windows of busy polling. */
#include "latentd/spin.h"

#include "latentd/stream.h"

struct window {
    uint64_t begin_ns, end_ns; /* [begin, end); both 0: none */
};

static struct window window_of(const struct stream *s)
{
    uint64_t bin_ns = s->bin_ns;
    uint64_t wanted_ns = s->conf->values.spin_ns;
    uint64_t spin_ns = wanted_ns < bin_ns ? wanted_ns : bin_ns;
    uint64_t expected_ns = s->recv_ns + bin_ns;

    if (spin_ns == 0 || s->recv_ns == 0) return (struct window){0, 0};
    return (struct window){expected_ns - spin_ns, expected_ns + spin_ns};
}

bool spin_is_due(struct stream *const *streams, size_t n_streams, uint64_t now_ns)
{
    for (size_t i = 0; i < n_streams; i++) {
        struct window w = window_of(streams[i]);
        if (w.begin_ns <= now_ns && now_ns < w.end_ns) return true;
    }
    return false;
}

uint64_t spin_next_ns(struct stream *const *streams, size_t n_streams, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < n_streams; i++) {
        uint64_t begin_ns = window_of(streams[i]).begin_ns;
        if (begin_ns > now_ns && begin_ns < next_ns) next_ns = begin_ns;
    }
    return next_ns;
}
