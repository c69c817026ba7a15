/* The whole mask is kept here and ordered as a whole, so that no change is lost or done twice. */
#include "latentd/masking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/channels.h"
#include "base/memory.h"

int masking_open(struct masking *m, const struct latent_info *info, const struct conf_stream *v,
                 latent_decoder *d, char *why, size_t n_why)
{
    size_t n_bytes = channels_bytes(info->n_channels);
    uint8_t *bits;

    *m =
        (struct masking){.n_channels = info->n_channels, .is_possible = info->channel_mean != NULL};
    masking_limit(m, v->max_masked);
    m->bits = memory_need(calloc(n_bytes, 1));
    if (!v->mask) return 0;
    bits = masking_change(m, v->mask, "", why, n_why);
    if (!bits) return LATENT_E_CONFIG;
    masking_ordered(m, bits);
    free(bits);
    return latent_decoder_mask(d, m->bits, n_bytes, m->version);
}

void masking_close(struct masking *m)
{
    free(m->bits);
    *m = (struct masking){0};
}

uint8_t *masking_change(const struct masking *m, const char *mask, const char *unmask, char *why,
                        size_t n_why)
{
    size_t n_bytes = channels_bytes(m->n_channels);
    uint8_t *bits = malloc(n_bytes);

    if (!bits) {
        snprintf(why, n_why, "out of memory; nothing was changed");
        return NULL;
    }
    memcpy(bits, m->bits, n_bytes);
    if (!mask[0] && !unmask[0])
        snprintf(why, n_why, "no channels to mask or unmask");
    else if (!m->is_possible)
        snprintf(why, n_why,
                 "a masked channel reads as its training mean, and the model file holds none; "
                 "export it again with --statistics FILE.h5:/counts");
    else if ((!mask[0] || channels_read(mask, true, bits, m->n_channels, why, n_why)) &&
             (!unmask[0] || channels_read(unmask, false, bits, m->n_channels, why, n_why)))
        return bits;
    free(bits);
    return NULL;
}

uint8_t *masking_anew(const struct masking *m, const char *list, char *why, size_t n_why)
{
    struct masking none = *m;
    uint8_t *bits;

    none.bits = calloc(channels_bytes(m->n_channels), 1);
    if (!none.bits) {
        snprintf(why, n_why, "out of memory; nothing was changed");
        return NULL;
    }
    if (!list) return none.bits;
    bits = masking_change(&none, list, "", why, n_why);
    free(none.bits);
    return bits;
}

void masking_limit(struct masking *m, uint32_t max_masked)
{
    m->most = (uint32_t)((uint64_t)m->n_channels * max_masked / 100);
}

void masking_ordered(struct masking *m, const uint8_t *bits)
{
    memcpy(m->bits, bits, channels_bytes(m->n_channels));
    m->version++;
}

void masking_words(const struct masking *m, const uint8_t *bits, char *words, size_t n)
{
    size_t n_masked = channels_count(bits, m->n_channels);
    char list[200];

    channels_write(bits, m->n_channels, list, sizeof list);
    if (n_masked == 0)
        snprintf(words, n, "decoded from all of its %u channels", m->n_channels);
    else
        snprintf(words, n, "decoded without %zu of %u channels: %s%s", n_masked, m->n_channels,
                 list, n_masked > m->most ? "; SAFE, since that is more than max-masked" : "");
}
