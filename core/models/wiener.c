/* Wiener filter: no latents, no rates. The shortest architecture: a newcomer starts from a copy.
 *
 *   y_t = b + sum over k < lags of W_k x_t-k
 *
 * Streaming: exact. WARMUP until `lags` bins were seen (missing ones count as zero).
 * State: lags bins of counts. Multiply-adds per bin: O lags C.
 * predict: the training mean as input. */
#include <string.h>

#include "base/error.h"
#include "kernels/kernels.h"
#include "layers/layers.h"
#include "models/model.h"

static const struct latent_mode wiener_modes[] = {{.name = "causal"}, {0}};

struct wiener {
    size_t n_channels, n_lags, n_readout; /* C, lags, O */
    const float *weight;                  /* [O, lags, C], lag 0 = newest bin */
    const float *bias;                    /* [O] */
    const float *channel_mean;            /* [C] or NULL */
};

struct wiener_state {
    const struct wiener *m;
    uint64_t *n_bins;
    float *history; /* [lags, C] ring */
};

static void *wiener_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    struct wiener m = {.n_channels = dims->n_channels, .channel_mean = dims->channel_mean};
    const struct tensor *bias = weights_peek(w, "bias");
    m.n_lags = (size_t)fields_int(c, "lags", 1, 1000);
    m.n_readout = bias && bias->n_dims ? bias->shape[0] : 1;
    m.weight = weights_floats(w, SHAPE(m.n_readout, m.n_lags, m.n_channels), "weight");
    m.bias = weights_floats(w, SHAPE(m.n_readout), "bias");
    dims->n_readout = m.n_readout;
    return arena_copy(w->arena, &m, sizeof m);
}

static const char *wiener_predict_check(const void *model)
{
    const struct wiener *m = model;
    if (m->channel_mean) return NULL;
    return "wiener predicts from " MODEL_LACKS_MEAN;
}

static void *wiener_init(const void *model, int mode, struct model_memory *mem)
{
    const struct wiener *m = model;
    struct wiener_state s = {.m = m};
    (void)mode;
    s.n_bins = arena_counts(mem->state, 1);
    s.history = arena_floats(mem->state, m->n_lags * m->n_channels);
    return arena_copy(mem->work, &s, sizeof s);
}

static void wiener_reset(void *state)
{
    struct wiener_state *s = state;
    *s->n_bins = 0;
    memset(s->history, 0, s->m->n_lags * s->m->n_channels * sizeof *s->history);
}

static void wiener_step(void *state, const float *counts, struct model_out *out)
{
    struct wiener_state *s = state;
    const struct wiener *m = s->m;
    size_t n = m->n_channels, newest = *s->n_bins % m->n_lags;

    memcpy(s->history + newest * n, counts, n * sizeof *counts);
    for (size_t o = 0; o < m->n_readout; o++) {
        float sum = m->bias[o];
        for (size_t k = 0; k < m->n_lags; k++) {
            const float *past = s->history + (newest + m->n_lags - k) % m->n_lags * n; /* x_t-k */
            const float *weight = m->weight + (o * m->n_lags + k) * n; /* row o of W_k [O, C] */
            float part;
            kernels_get()->dots(&part, weight, n, past, n, 1);
            sum += part;
        }
        out->readout[o] = sum;
    }
    if (++*s->n_bins < m->n_lags) out->flags |= LATENT_WARMUP;
}

static void wiener_predict(void *state, struct model_out *out)
{
    struct wiener_state *s = state;
    wiener_step(s, s->m->channel_mean, out);
}

const struct model_ops wiener_ops = {
    .name = "wiener",
    .modes = wiener_modes,
    .load = wiener_load,
    .init = wiener_init,
    .reset = wiener_reset,
    .step = wiener_step,
    .predict = wiener_predict,
    .predict_check = wiener_predict_check,
};
