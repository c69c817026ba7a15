/* Smoothing, z-score, lags, ridge; the equations stand in readout_stage.h. */
#include "decode/readout_stage.h"

#include <math.h>
#include <string.h>

#define STAGE_MAX_LAGS 1000
#define STAGE_MAX_TAU_MS 1e6

/* Can this file have the stage that its configuration asks for? */
static void readout_stage_check(const struct readout_stage *s, struct fields *c, size_t n_readout,
                                const struct model_dims *dims)
{
    if (dims->n_readout)
        fields_refuse(c, LATENT_E_CONFIG, NULL,
                      "expected none, since the model has a readout of its own");
    else if (dims->every_bins > 1)
        fields_refuse(c, LATENT_E_CONFIG, NULL,
                      "expected none, since the model does not give something in each bin");
    else if (!n_readout)
        fields_refuse(c, LATENT_E_CONFIG, NULL,
                      "expected \"outputs.readout\" to describe what it gives, "
                      "found an empty list");
    else if (!s->n_inputs)
        fields_refuse(c, LATENT_E_CONFIG, "input", "expected what the model has, found \"%s\"",
                      s->from_rates ? "rates" : "latents");
}

void readout_stage_load(struct readout_stage *s, struct weights *w, struct fields *c,
                        size_t n_readout, struct model_dims *dims)
{
    static const char *const inputs[] = {[false] = "latents", [true] = "rates", NULL};
    *s = (struct readout_stage){.n_readout = n_readout};
    s->from_rates = fields_choice(c, "input", inputs);
    s->n_inputs = s->from_rates ? dims->n_rates : dims->n_latents;
    s->n_lags = (size_t)fields_int(c, "lags", 1, STAGE_MAX_LAGS);
    double tau_ms = fields_number(c, "tau_ms", 0.0, STAGE_MAX_TAU_MS);
    s->decay = tau_ms > 0.0 ? exp(-dims->bin_s * 1e3 / tau_ms) : 0.0;
    if (!c->status) readout_stage_check(s, c, n_readout, dims);
    if (c->status) return;
    s->mean = weights_doubles(w, SHAPE(s->n_inputs), "stage.mean");
    s->scale = weights_doubles(w, SHAPE(s->n_inputs), "stage.scale");
    s->weight = weights_doubles(w, SHAPE(s->n_readout, s->n_lags, s->n_inputs), "stage.weight");
    s->bias = weights_doubles(w, SHAPE(s->n_readout), "stage.bias");
    dims->n_readout = n_readout;
}

void readout_stage_init(struct readout_stage_state *state, const struct readout_stage *s,
                        struct arena *memory)
{
    state->n_bins = arena_counts(memory, 1);
    state->n_eff = arena_doubles(memory, 1);
    state->sum = arena_doubles(memory, s->n_inputs);
    state->history = arena_doubles(memory, s->n_lags * s->n_inputs);
}

void readout_stage_reset(const struct readout_stage *s, struct readout_stage_state *state)
{
    *state->n_bins = 0;
    *state->n_eff = 0.0;
    memset(state->sum, 0, s->n_inputs * sizeof *state->sum);
    memset(state->history, 0, s->n_lags * s->n_inputs * sizeof *state->history);
}

/* z [D] of the newest bin. */
static void input_smooth(const struct readout_stage *s, struct readout_stage_state *state,
                         double *z, const float *x)
{
    *state->n_eff = s->decay * *state->n_eff + 1.0;
    for (size_t i = 0; i < s->n_inputs; i++) {
        state->sum[i] = s->decay * state->sum[i] + (double)x[i];
        z[i] = s->scale[i] * (state->sum[i] / *state->n_eff - s->mean[i]);
    }
}

uint32_t readout_stage_step(const struct readout_stage *s, struct readout_stage_state *state,
                            float *readout, const float *x)
{
    size_t d = s->n_inputs, lags = s->n_lags, newest = *state->n_bins % lags;
    input_smooth(s, state, state->history + newest * d, x);
    for (size_t o = 0; o < s->n_readout; o++) {
        double y = s->bias[o];
        for (size_t k = 0; k < lags; k++) {
            const double *w = s->weight + (o * lags + k) * d;                  /* W_k, row o */
            const double *z = state->history + (newest + lags - k) % lags * d; /* z_t-k */
            for (size_t i = 0; i < d; i++) y += w[i] * z[i];
        }
        readout[o] = (float)y;
    }
    return ++*state->n_bins < lags ? LATENT_WARMUP : 0u;
}
