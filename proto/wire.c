/* Frames and truth <-> bytes, and the names of refusals. Bins are in wire_bins.c. */
#include "wire.h"

#include <assert.h>

#include "latent.pb-c.h"
#include "wire_arena.h"

/* Tags and lengths of all fields of Frame, and then some. */
#define FRAME_OVERHEAD 192

const char *wire_refusal_name(enum wire_refusal r)
{
    static const char *const names[WIRE_N_REFUSALS] = {
        [WIRE_OK] = "ok",
        [WIRE_REFUSED_LENGTH] = "length",
        [WIRE_REFUSED_FORMAT] = "format",
        [WIRE_REFUSED_SHAPE] = "shape",
        [WIRE_REFUSED_SEQUENCE] = "sequence",
        [WIRE_REFUSED_VALUE] = "value",
    };

    assert((unsigned)r < WIRE_N_REFUSALS);
    return names[r];
}

size_t wire_frame_bound(size_t n_values)
{
    return FRAME_OVERHEAD + n_values * sizeof(float);
}

/* protobuf-c has no const: packing reads through these pointers only. */
static float *unconst(const float *values)
{
    return (float *)values;
}

size_t wire_pack_frame(const struct wire_frame *f, uint8_t *buf, size_t cap)
{
    Latent__V1__Frame m = LATENT__V1__FRAME__INIT;

    m.epoch = f->epoch;
    m.seq = f->seq;
    m.pub_seq = f->pub_seq;
    m.t_source_ns = f->t_source_ns;
    m.t_recv_ns = f->t_recv_ns;
    m.t_publish_ns = f->t_publish_ns;
    m.clock_id = f->clock_id;
    m.age_ns = f->age_ns;
    m.budget_left_ns = f->budget_left_ns;
    m.valid_for_ns = f->valid_for_ns;
    m.flags = f->values.flags;
    m.decoder_id = f->decoder_id;
    m.mask_version = f->mask_version;
    m.normalise_version = f->normalise_version;
    m.n_latents = f->values.n_latents;
    m.latents = unconst(f->values.latents);
    m.n_rates = f->values.n_rates;
    m.rates = unconst(f->values.rates);
    m.n_readout = f->values.n_readout;
    m.readout = unconst(f->values.readout);
    m.n_logits = f->values.n_logits;
    m.logits = unconst(f->values.logits);
    m.marks = f->marks;
    m.event_id = f->event_id;
    if (latent__v1__frame__get_packed_size(&m) > cap) return 0;
    return latent__v1__frame__pack(&m, buf);
}

static void frame_values(const Latent__V1__Frame *m, struct latent_frame *values)
{
    values->flags = m->flags;
    values->n_latents = (uint32_t)m->n_latents;
    values->latents = m->latents;
    values->n_rates = (uint32_t)m->n_rates;
    values->rates = m->rates;
    values->n_readout = (uint32_t)m->n_readout;
    values->readout = m->readout;
    values->n_logits = (uint32_t)m->n_logits;
    values->logits = m->logits;
}

int wire_unpack_frame(struct wire_arena *arena, const void *payload, size_t n,
                      struct wire_frame *out)
{
    ProtobufCAllocator allocator = wire_arena_allocator(arena);
    const Latent__V1__Frame *m = latent__v1__frame__unpack(&allocator, n, payload);

    if (!m) return -1;
    out->epoch = m->epoch;
    out->seq = m->seq;
    out->pub_seq = m->pub_seq;
    out->t_source_ns = m->t_source_ns;
    out->t_recv_ns = m->t_recv_ns;
    out->t_publish_ns = m->t_publish_ns;
    out->clock_id = m->clock_id;
    out->age_ns = m->age_ns;
    out->budget_left_ns = m->budget_left_ns;
    out->valid_for_ns = m->valid_for_ns;
    out->decoder_id = m->decoder_id;
    out->event_id = m->event_id;
    out->mask_version = m->mask_version;
    out->normalise_version = m->normalise_version;
    out->marks = m->marks;
    frame_values(m, &out->values);
    return 0;
}

size_t wire_pack_truth(const struct wire_truth *t, uint8_t *buf, size_t cap)
{
    Latent__V1__Truth m = LATENT__V1__TRUTH__INIT;

    m.epoch = t->epoch;
    m.seq = t->seq;
    m.t_source_ns = t->t_source_ns;
    m.n_latents = t->n_latents;
    m.latents = unconst(t->latents);
    m.n_rates = t->n_rates;
    m.rates = unconst(t->rates);
    m.n_readout = t->n_readout;
    m.readout = unconst(t->readout);
    if (latent__v1__truth__get_packed_size(&m) > cap) return 0;
    return latent__v1__truth__pack(&m, buf);
}
