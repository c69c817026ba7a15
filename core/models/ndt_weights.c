/* Binding an NDT: hyper-parameters, their contradictions, tensors. */
#include "models/ndt_weights.h"

#include <math.h>
#include <stdio.h>

#include "base/error.h"

void ndt_position_row(const struct ndt *m, float *row, uint64_t t)
{
    double p = (double)t + (m->position_offset ? 1.0 : 0.0);
    for (size_t i = 0; i + 1 < m->width; i += 2) {
        double angle = p * exp(-(double)i * log(10000.0) / (double)m->width);
        row[i] = (float)sin(angle);
        row[i + 1] = (float)cos(angle);
    }
}

static void positions_load(struct ndt *m, struct weights *w)
{
    if (m->position == POSITION_LEARNT) {
        m->positions =
            weights_floats(w, SHAPE(m->trial_bins, m->width), "pos_encoder.pos_embedding.weight");
        return;
    }
    float *rows = arena_floats(w->arena, m->trial_bins * m->width);
    for (size_t t = 0; rows && t < m->trial_bins; t++) ndt_position_row(m, rows + t * m->width, t);
    m->positions = rows;
}

static void embed_load(struct ndt *m, struct weights *w)
{
    if (m->embed == EMBED_TABLE)
        m->table = weights_floats(w, SHAPE(m->max_count + 2, m->embed_dim), "embedder.0.weight");
    if (m->embed == EMBED_LINEAR) linear_load(&m->embedder, w, m->width, m->n_rates, "embedder");
}

static void layer_load(struct ndt *m, struct weights *w, size_t heads, size_t l)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "transformer_encoder.layers.%zu", l);
    encoder_layer_load(&m->layers[l], w, prefix, m->width, heads, m->hidden, m->pre_norm);
}

static void head_load(struct ndt *m, struct weights *w, size_t n_rates)
{
    if (m->final == FINAL_SCALE)
        m->final_scale = weights_floats(w, 0, NULL, "transformer_encoder.norm.scale");
    else
        norm_load(&m->final_norm, w, m->width, "transformer_encoder.norm");
    size_t n_first = m->head_layers == 1 ? n_rates : 16;
    linear_load(&m->head[0], w, n_first, m->width, "decoder.0");
    if (m->head_layers == 2) linear_load(&m->head[1], w, n_rates, 16, "decoder.2");
}

/* 0 where the file does not say. */
static size_t optional_int(struct fields *c, const char *key, long long max)
{
    return fields_has(c, key) ? (size_t)fields_int(c, key, 0, max) : 0;
}

static void hyper_read(struct ndt *m, struct fields *c, size_t *heads)
{
    static const char *const embeds[] = {
        [EMBED_IDENTITY] = "identity", [EMBED_TABLE] = "table", [EMBED_LINEAR] = "linear", NULL};
    static const char *const finals[] = {[FINAL_LAYER] = "layer", [FINAL_SCALE] = "scale", NULL};
    static const char *const positions[] = {
        [POSITION_LEARNT] = "learnt", [POSITION_SINUSOIDAL] = "sinusoidal", NULL};
    m->n_layers = (size_t)fields_int(c, "layers", 1, NDT_MAX_LAYERS);
    *heads = (size_t)fields_int(c, "heads", 1, 64);
    m->width = (size_t)fields_int(c, "width", 1, 65536);
    m->hidden = (size_t)fields_int(c, "hidden", 1, 65536);
    m->embed = fields_choice(c, "embed", embeds);
    m->embed_dim = (size_t)fields_int(c, "embed_dim", 0, 64);
    m->max_count = (size_t)fields_int(c, "max_count", m->embed == EMBED_TABLE, 65535);
    m->pre_norm = fields_bool(c, "pre_norm");
    m->final = fields_choice(c, "final_norm", finals);
    m->position = fields_choice(c, "position", positions);
    m->position_offset = fields_bool(c, "position_offset");
    m->trial_bins = (size_t)fields_int(c, "trial_bins", 1, 65536);
    m->window_bins = (size_t)fields_int(c, "window_bins", 1, (long long)m->trial_bins);
    m->band.forward = (long)fields_int(c, "context_forward", -1, 65536);
    m->band.back = (long)fields_int(c, "context_backward", -1, 65536);
    m->head_layers = (int)fields_int(c, "head_layers", 1, 2);
    m->link = link_read(c, true);
    m->n_rates = m->n_channels + optional_int(c, "held_out", 65536);
    m->future_zeros = optional_int(c, "future_zeros", (long long)m->trial_bins - 1);
}

static int hyper_refuse(struct fields *c, const char *text)
{
    return c->status = error_set(c->err, LATENT_E_CONFIG, "%s: %s", c->where, text);
}

/* Hyper-parameters that contradict each other or the channel count. */
static int hyper_check(const struct ndt *m, struct fields *c, size_t heads)
{
    size_t expected = m->embed == EMBED_IDENTITY ? m->n_rates
                      : m->embed == EMBED_TABLE  ? m->n_rates * m->embed_dim
                                                 : m->width;
    if (c->status) return c->status;
    if (m->width % heads) return hyper_refuse(c, "\"width\" must be a multiple of \"heads\"");
    if (m->width != expected)
        return hyper_refuse(c,
                            "\"width\" must be the number of neurons, n_channels and \"held_out\" "
                            "(identity), or that x embed_dim (table)");
    if (m->position == POSITION_SINUSOIDAL && m->width % 2)
        return hyper_refuse(c, "sinusoidal positions need an even \"width\"");
    if (m->future_zeros && m->band.forward == 0)
        return hyper_refuse(c, "\"future_zeros\" needs a model that looks ahead "
                               "(context_forward not 0)");
    return 0;
}

void *ndt_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    struct ndt m = {.n_channels = dims->n_channels};
    size_t heads = 1;
    hyper_read(&m, c, &heads);
    if (hyper_check(&m, c, heads)) return NULL;
    embed_load(&m, w);
    positions_load(&m, w);
    for (size_t l = 0; l < m.n_layers; l++) layer_load(&m, w, heads, l);
    head_load(&m, w, m.n_rates);
    dims->n_latents = m.width;
    dims->n_rates = m.n_rates;
    dims->trial_bins = m.trial_bins;
    return arena_copy(w->arena, &m, sizeof m);
}
