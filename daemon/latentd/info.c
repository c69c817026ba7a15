/* Info from a stream's model and configuration. */
#include "latentd/info.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "latentd/output.h"
#include "wire.h"

#define CLOCK_BYTES 128 /* of what info_add_clock adds, packed */

/* protobuf-c has no const; packing only reads. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static uint32_t sent(const struct stream *s, uint32_t group, uint32_t n)
{
    return s->groups & group ? n : 0;
}

static void fill_readout(Latent__V1__ReadoutInfo *m, const struct latent_readout *r)
{
    latent__v1__readout_info__init(m);
    m->name = text(r->name);
    m->unit = text(r->unit);
    m->neutral = r->neutral;
    m->min = r->min;
    m->max = r->max;
    m->slew = r->slew;
    m->hold = r->hold;
}

void info_add_clock(Latent__V1__Info *m, const struct stream *s)
{
    bool is_off = s->conf->values.source_clock == SOURCE_CLOCK_OFF || s->conf->values.contract == 1;
    struct source_clock_seen seen;

    line_read_source_clock(s->line, &seen);
    m->source_clock = text(is_off ? "off" : source_clock_state_name(seen.state));
    m->source_offset_ns = seen.offset_ns;
    m->age_uncertainty_ns = seen.uncertainty_ns;
    m->min_delay_ns = (uint64_t)s->conf->values.min_delay_us * 1000;
    m->source_ppm = seen.ppm;
    m->source_ppm_uncertainty = seen.ppm_uncertainty;
    m->source_steps = seen.n_steps;
}

static void fill(Latent__V1__Info *m, const struct stream *s)
{
    m->stream = text(s->conf->name);
    m->decoder_id = latent_decoder_id(s->decoder);
    m->arch = text(s->info.arch);
    m->mode = text(s->mode);
    m->precision = text(s->precision);
    m->n_channels = s->info.n_channels;
    m->bin_width_us = s->info.bin_width_us;
    m->n_latents = sent(s, LATENT_GROUP_LATENTS, s->info.n_latents);
    m->n_rates = sent(s, LATENT_GROUP_RATES, s->info.n_rates);
    m->valid_for_ns = s->conf->values.valid_for_ns;
    m->budget_ns = s->conf->values.budget_ns;
    m->version = text(latent_version());
    m->clock_id = wire_clock_id();
    m->input = text(latent_input_name(s->info.input));
    m->checked = text(s->info.checked ? s->info.checked : "unknown");
    m->n_logits = sent(s, LATENT_GROUP_LOGITS, s->info.n_logits);
    m->logits = (char **)s->info.logit_labels; /* protobuf-c has no const; packing only reads */
    m->delay_bins = s->info.delay_bins;
    m->every_bins = s->info.every_bins;
    m->first_bin = s->info.first_bin;
    m->session = text(s->session ? s->session : "");
    m->n_sessions = s->info.n_sessions;
    m->sessions = (char **)s->info.sessions;
}

int info_build(struct info_message *m, const struct stream *s)
{
    uint32_t n = sent(s, LATENT_GROUP_READOUT, s->info.n_readout);

    *m = (struct info_message){.readout = calloc(n + 1, sizeof *m->readout),
                               .pointers = calloc(n + 1, sizeof *m->pointers)};
    if (!m->readout || !m->pointers) {
        info_free(m);
        return -1;
    }
    latent__v1__info__init(&m->info);
    fill(&m->info, s);
    for (uint32_t i = 0; i < n; i++) {
        fill_readout(&m->readout[i], &s->info.readout[i]);
        m->pointers[i] = &m->readout[i];
    }
    m->info.n_readout = n;
    m->info.readout = m->pointers;
    return 0;
}

void info_free(struct info_message *m)
{
    free(m->readout);
    free(m->pointers);
    *m = (struct info_message){0};
}

void *info_pack(const struct stream *s, size_t *n_bytes)
{
    struct info_message m;
    uint8_t *bytes;

    if (info_build(&m, s)) return NULL;
    *n_bytes = latent__v1__info__get_packed_size(&m.info);
    bytes = malloc(*n_bytes + CLOCK_BYTES);
    if (bytes) latent__v1__info__pack(&m.info, bytes);
    info_free(&m);
    return bytes;
}

/* Fields that follow a packed message are fields of it. */
int info_send(const struct stream *s, const struct engine *e)
{
    uint8_t *bytes = e->words->info_payload;
    Latent__V1__Info clock;
    size_t n = e->words->n_info_payload;

    latent__v1__info__init(&clock);
    info_add_clock(&clock, s);
    assert(latent__v1__info__get_packed_size(&clock) <= CLOCK_BYTES);
    n += latent__v1__info__pack(&clock, bytes + n);
    return output_send(s->output, s->topic_info, bytes, n);
}
