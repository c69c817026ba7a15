/* Stacked causal GRU (torch nn.GRU convention) with rate and behaviour readouts.
 *
 * Streaming: exact, one step per bin.
 * State: layers x H floats, and N of its own predicted counts.
 * Multiply-adds per bin:
 *   3 H (C' + H)   the first layer, C' the non-zero channels
 *   6 H^2          each further layer
 *   H (N + O)      the readouts
 * predict: feeds its own previous expected counts back as input when it has a rate for each
 * channel and its input is counts, else the training mean. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "layers/gru_cell.h"
#include "layers/link.h"
#include "models/model.h"

#define GRU_MAX_LAYERS 8

static const struct latent_mode gru_modes[] = {{.name = "causal"}, {0}};

struct gru {
    size_t n_channels, n_layers, hidden, n_rates, n_readout; /* C, -, H, N, O */
    size_t size;                                             /* H, rounded up to 16 */
    bool is_normalised;
    enum rate_link link;
    const float *channel_mean; /* [C] or NULL */
    struct gru_cell layers[GRU_MAX_LAYERS];
    struct linear rate, readout;
};

struct gru_state {
    const struct gru *m;
    float *h;        /* [layers, size] */
    float *expected; /* [C] counts expected in the next bin */
    float *given;    /* [3 size] */
    float *scratch;
    uint32_t *index; /* [C] */
};

/* Rows of an optional tensor [n, ...]; 0 when the file has none. */
static size_t rows_of(const struct weights *w, const char *name)
{
    const struct tensor *t = weights_peek(w, name);
    return t && t->n_dims ? t->shape[0] : 0;
}

static void *gru_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    struct gru m = {.n_channels = dims->n_channels,
                    .channel_mean = dims->channel_mean,
                    .is_normalised = dims->is_normalised};
    m.n_layers = (size_t)fields_int(c, "layers", 1, GRU_MAX_LAYERS);
    m.hidden = (size_t)fields_int(c, "hidden", 1, 16384);
    m.link = link_read(c, true);
    if (c->status) return NULL;
    for (size_t k = 0; k < m.n_layers; k++) {
        char suffix[16];
        snprintf(suffix, sizeof suffix, "_l%u", (unsigned)k);
        gru_cell_load(&m.layers[k], w, k ? m.hidden : m.n_channels, m.hidden, "gru", suffix);
    }
    m.size = m.layers[0].size;
    m.n_rates = rows_of(w, "rate.weight");
    m.n_readout = rows_of(w, "readout.weight");
    if (m.n_rates) linear_load(&m.rate, w, m.n_rates, m.hidden, "rate");
    if (m.n_readout) linear_load(&m.readout, w, m.n_readout, m.hidden, "readout");
    dims->n_latents = m.hidden;
    dims->n_rates = m.n_rates;
    dims->n_readout = m.n_readout;
    return arena_copy(w->arena, &m, sizeof m);
}

static bool feeds_itself(const struct gru *m)
{
    return m->n_rates == m->n_channels && !m->is_normalised;
}

static const char *gru_predict_check(const void *model)
{
    const struct gru *m = model;
    if (feeds_itself(m) || m->channel_mean) return NULL;
    return "a gru without a rate for each channel predicts from " MODEL_LACKS_MEAN;
}

static void *gru_init(const void *model, int mode, struct model_memory *mem)
{
    const struct gru *m = model;
    struct gru_state s = {.m = m};
    (void)mode;
    s.h = arena_floats(mem->state, m->n_layers * m->size);
    s.expected = arena_floats(mem->state, m->n_channels);
    s.given = arena_floats(mem->work, 3 * m->size);
    s.scratch = arena_floats(mem->work, GRU_CELL_SCRATCH(m->size));
    s.index = arena_take(mem->work, m->n_channels * sizeof *s.index);
    return arena_copy(mem->work, &s, sizeof s);
}

static void gru_reset(void *state)
{
    struct gru_state *s = state;
    const struct gru *m = s->m;
    memset(s->h, 0, m->n_layers * m->size * sizeof *s->h);
    if (m->channel_mean)
        memcpy(s->expected, m->channel_mean, m->n_channels * sizeof *s->expected);
    else
        memset(s->expected, 0, m->n_channels * sizeof *s->expected);
}

static void gru_step(void *state, const float *counts, struct model_out *out)
{
    struct gru_state *s = state;
    const struct gru *m = s->m;
    float *top = s->h + (m->n_layers - 1) * m->size; /* [H] of the last layer */
    size_t n = nonzero_index(s->index, counts, m->n_channels);

    for (size_t k = 0; k < m->n_layers; k++) {
        const struct gru_cell *cell = &m->layers[k];
        float *h = s->h + k * m->size; /* [size], its input h - size: the layer below */
        if (k)
            kernels_get()->matvec(s->given, &cell->input, h - m->size); /* [3 size] = W x + b */
        else
            kernels_get()->matvec_sparse(s->given, &cell->input, counts, s->index, n);
        gru_cell_forward(cell, h, s->given, s->scratch);
    }
    memcpy(out->latents, top, m->hidden * sizeof *top);
    if (m->n_rates) {
        linear_forward(&m->rate, out->rates, top);
        out->flags |= link_apply(m->link, out->rates, m->n_rates);
    }
    if (m->n_readout) linear_forward(&m->readout, out->readout, top);
    if (feeds_itself(m)) memcpy(s->expected, out->rates, m->n_rates * sizeof *out->rates);
}

static void gru_predict(void *state, struct model_out *out)
{
    struct gru_state *s = state;
    gru_step(s, s->expected, out);
}

const struct model_ops gru_ops = {
    .name = "gru",
    .narrow = true,
    .modes = gru_modes,
    .load = gru_load,
    .init = gru_init,
    .reset = gru_reset,
    .step = gru_step,
    .predict = gru_predict,
    .predict_check = gru_predict_check,
};
