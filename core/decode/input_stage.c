/* Mask, then clip, then normalise: a channel that is not believed cannot be beyond its range. */
#include "decode/input_stage.h"

#include <assert.h>
#include <string.h>

static bool clips(const struct latent_info *info)
{
    return info->channel_clip || info->channel_clip_low;
}

/* Without a mean there is nothing that a masked channel could read as. */
static size_t n_maskable(const struct input_stage *s)
{
    return s->info->channel_mean ? s->info->n_channels : 0;
}

void input_stage_init(struct input_stage *s, const latent_model *m, struct model_memory *memory)
{
    size_t n = m->info.n_channels;
    bool normalises = m->info.normalise != LATENT_NORMALISE_NONE;
    bool changes = normalises || clips(&m->info) || m->info.channel_mean;
    *s = (struct input_stage){.info = &m->info};
    s->masked = arena_flags(memory->state, n_maskable(s));
    s->mask_version = arena_counts(memory->state, 1);
    normalise_init(&s->normalise, &m->config.normalise, n, memory->state);
    s->bin = arena_floats(memory->work, changes ? n : 0);
    s->raw = arena_floats(memory->work, normalises ? n : 0);
}

void input_stage_clear(struct input_stage *s)
{
    memset(s->masked, 0, n_maskable(s) * sizeof *s->masked);
    *s->mask_version = 0;
    s->n_masked = 0;
    normalise_clear(&s->normalise);
}

void input_stage_loaded(struct input_stage *s)
{
    s->n_masked = 0;
    for (size_t c = 0; c < n_maskable(s); c++) s->n_masked += s->masked[c];
    normalise_loaded(&s->normalise);
}

int input_stage_mask(struct input_stage *s, const uint8_t *bits, size_t n_bytes, uint32_t version)
{
    size_t n = s->info->n_channels, n_masked = 0;
    if (n_bytes != (n + 7) / 8 || (n % 8 && bits[n / 8] >> n % 8)) return LATENT_E_SHAPE;
    for (size_t i = 0; i < n_bytes; i++) n_masked += (size_t)__builtin_popcount(bits[i]);
    if (n_masked && !n_maskable(s)) return LATENT_E_UNSUPPORTED;
    for (size_t c = 0; c < n_maskable(s); c++) s->masked[c] = bits[c / 8] >> c % 8 & 1u;
    *s->mask_version = version;
    s->n_masked = n_masked;
    return 0;
}

void input_stage_masked(const struct input_stage *s, uint8_t *bits, size_t n_bytes)
{
    memset(bits, 0, n_bytes);
    for (size_t c = 0; c < n_maskable(s) && c / 8 < n_bytes; c++)
        bits[c / 8] |= (uint8_t)(s->masked[c] << c % 8);
}

static bool normalises(const struct input_stage *s)
{
    return s->info->normalise != LATENT_NORMALISE_NONE;
}

bool input_stage_is_plain(const struct input_stage *s)
{
    return !s->n_masked && !clips(s->info) && !normalises(s);
}

/* Masked and within its range. */
static uint32_t restrain(const struct input_stage *s, float *out, const float *values)
{
    const float *mean = s->info->channel_mean;
    size_t n = s->info->n_channels;
    if (!s->n_masked) return latent_input_clip(s->info, out, values);
    assert(mean);
    for (size_t c = 0; c < n; c++) out[c] = s->masked[c] ? mean[c] : values[c];
    return latent_input_clip(s->info, out, out);
}

uint32_t input_stage_take(struct input_stage *s, float *out, const struct latent_bin *bin)
{
    if (!normalises(s)) return restrain(s, out, bin->counts);
    const uint32_t *masked = s->n_masked ? s->masked : NULL;
    normalise_begin_bin(&s->normalise, bin->marks);
    uint32_t flags = restrain(s, s->raw, bin->counts);
    normalise_run(&s->normalise, out, s->raw, masked);
    normalise_end_bin(&s->normalise, s->raw, masked, bin->marks, !flags && !bin->no_learning);
    return flags;
}

const float *input_stage_run(struct input_stage *s, const struct latent_bin *bin, uint32_t *flags)
{
    if (input_stage_is_plain(s)) return bin->counts;
    *flags |= input_stage_take(s, s->bin, bin);
    return s->bin;
}
