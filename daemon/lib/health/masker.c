/* Sets in, a set out: no clock, no orders. */
#include "health/masker.h"

#include <stdlib.h>
#include <string.h>

#include "base/channels.h"

#define OWN_OF 10            /* at most one channel of so many is masked by latentd */
#define CHANGE_NS 500000000u /* between two changes */

int masker_open(struct masker *m, const struct bad_channels *bad, uint32_t n_channels)
{
    size_t n_bytes = channels_bytes(n_channels);

    *m = (struct masker){.bad = bad,
                         .n_channels = n_channels,
                         .most_own = n_channels / OWN_OF,
                         .own = calloc(n_bytes, 1),
                         .kept = calloc(n_bytes, 1)};
    return m->own && m->kept ? 0 : -1;
}

void masker_close(struct masker *m)
{
    free(m->own);
    free(m->kept);
    *m = (struct masker){0};
}

static bool is_bad(const struct masker *m, uint32_t channel)
{
    return m->bad && bad_channels_verdict(m->bad, channel) != CHANNEL_GOOD;
}

/* Bad, and latentd may say so. */
static bool is_wanted(const struct masker *m, uint32_t channel)
{
    return is_bad(m, channel) && !channels_has(m->kept, channel);
}

void masker_obey(struct masker *m, const uint8_t *masked, const uint8_t *unmasked)
{
    for (uint32_t c = 0; c < m->n_channels; c++) {
        bool is_unmasked = channels_has(unmasked, c);

        if (!is_unmasked && !channels_has(masked, c)) continue;
        channels_set(m->own, c, false);
        channels_set(m->kept, c, is_unmasked && is_bad(m, c));
    }
}

void masker_look(struct masker *m)
{
    for (uint32_t c = 0; c < m->n_channels; c++)
        if (!is_bad(m, c)) channels_set(m->kept, c, false);
}

void masker_propose(const struct masker *m, const uint8_t *masked, uint8_t *out)
{
    for (uint32_t c = 0; c < m->n_channels; c++)
        channels_set(out, c, is_wanted(m, c) && !channels_has(masked, c));
}

/* ---- by itself ---- */

/* All that is masked or ought to be, when that is too much; false: it is not, or is masked. */
static bool mask_all(const struct masker *m, const uint8_t *masked, uint32_t most, uint8_t *out)
{
    for (uint32_t c = 0; c < m->n_channels; c++)
        if (is_wanted(m, c)) channels_set(out, c, true);
    return channels_count(out, m->n_channels) > most &&
           memcmp(out, masked, channels_bytes(m->n_channels)) != 0;
}

/* One channel: what is good again first. */
static bool change_one(const struct masker *m, uint8_t *out)
{
    for (uint32_t c = 0; c < m->n_channels; c++)
        if (channels_has(m->own, c) && !is_bad(m, c)) {
            channels_set(out, c, false);
            return true;
        }
    if (channels_count(m->own, m->n_channels) >= m->most_own) return false;
    for (uint32_t c = 0; c < m->n_channels; c++)
        if (is_wanted(m, c) && !channels_has(out, c)) {
            channels_set(out, c, true);
            return true;
        }
    return false;
}

bool masker_decide(const struct masker *m, const uint8_t *masked, uint32_t most, uint64_t now_ns,
                   uint8_t *out)
{
    size_t n_bytes = channels_bytes(m->n_channels);

    memcpy(out, masked, n_bytes);
    if (mask_all(m, masked, most, out)) return true;
    memcpy(out, masked, n_bytes);
    return now_ns >= m->next_change_ns && change_one(m, out);
}

void masker_ordered(struct masker *m, const uint8_t *masked, const uint8_t *next, uint64_t now_ns)
{
    for (uint32_t c = 0; c < m->n_channels; c++)
        if (channels_has(masked, c) != channels_has(next, c))
            channels_set(m->own, c, channels_has(next, c));
    m->next_change_ns = now_ns + CHANGE_NS;
}
