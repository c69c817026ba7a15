/* Low-rank RNN of N units (LINT: Valente et al. 2022), reduced to its latents.
 *
 *   h_t       = m kappa_t + wi' v_t + (1 - alpha)^t h0
 *   kappa_t+1 = (1 - alpha) kappa_t + (alpha / N) n' tanh(h_t + b)       first: without b
 *   v_t+1     = (1 - alpha) v_t + alpha u_t
 *   readout   = (1 / N) wo' phi(h_t+1), or phi(h_t+1) of every unit
 *
 * The reduction is exact: h never leaves the span of m, wi and h0.
 *
 * Form "driven": the channels are the task's inputs u.
 * Form "filtered" (ours, not LINT's): the channels are M spike counts, then the inputs; an
 * extended Kalman filter corrects kappa under counts x ~ Poisson(exp(eta)),
 *
 *   eta = gain tanh(h + b) + bias   of the first M units ("units")
 *   eta = weight [kappa; v] + bias  ("linear")
 *
 *   P-    = F P F' + Q
 *   G     = J' e^eta J                                  J = d eta / d kappa at the newest kappa
 *   kappa = kappa- + (P-^-1 + G)^-1 J' (x - e^eta + e^eta J (kappa - kappa-))
 *   P     = (P-^-1 + G)^-1                              G, kappa, P: `iterations` times
 *
 * Streaming: exact, Markov. State: R + I + 1 numbers, R x R more when filtered.
 * Multiply-adds per bin: 2 N (R + I) + N R; filtered: iterations (N R + M R^2) more.
 * float64 for the latents, float32 for the units.
 * predict: inputs of zero, and no correction. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "layers/layers.h"
#include "layers/matrix.h"
#include "layers/riccati.h"
#include "models/model.h"

#define MAX_RANK 64
#define MAX_UNITS 65536
#define LOG_RATE_MAX 20.0f /* bounds one bin's correction; no real rate comes near */

static const struct latent_mode lowrank_modes[] = {{.name = "causal"}, {0}};

enum form { FORM_DRIVEN, FORM_FILTERED };
enum output { OUTPUT_NONE, OUTPUT_LINEAR, OUTPUT_UNITS };
enum output_activation { OUTPUT_TANH, OUTPUT_IDENTITY };
enum observation { OBSERVATION_UNITS, OBSERVATION_LINEAR };

struct lowrank {
    size_t rank, n_inputs, n_units, n_spikes, n_readout; /* R, I, N, M, O */
    enum form form;
    enum output output;
    enum output_activation output_activation;
    enum observation observation;
    size_t iterations;
    double alpha;
    struct panels span;                     /* [N, R + I + 1]: m, wi', h0 side by side */
    const float *m;                         /* [N, R] */
    const float *n;                         /* [R, N], times alpha / N */
    const float *b;                         /* [N] */
    const float *output_weight;             /* [O, N], times 1 / N */
    const double *noise, *start_covariance; /* Q, P0 [R, R] */
    const float *gain, *bias;               /* [M]; gain: observation of units */
    const float *weight;                    /* [M, R + I]: linear observation */
};

struct lowrank_state {
    const struct lowrank *m;
    double *kappa, *v; /* [R], [I] */
    double *fade;      /* (1 - alpha)^t */
    double *p;         /* [R, R] (filtered) */
    uint64_t *n_bins;
    float *h, *unit;                    /* [N] */
    float *span_in;                     /* [R + I + 1] */
    float *eta, *jacobian;              /* [M], [M, R] */
    float *flow;                        /* [R] */
    double *predicted;                  /* kappa- [R] */
    double *slope, *information, *push; /* F, G [R, R], [R] */
    double *posterior;                  /* P of one pass [R, R] */
    double *scratch;                    /* [3 R^2] */
};

/* ---- load ---- */

/* The columns that h is made of: m, the scaled wi transposed, h0. */
static void span_load(struct lowrank *m, struct weights *w)
{
    size_t n = m->n_units, r = m->rank, inputs = m->n_inputs, width = r + inputs + 1;
    const float *wi = NULL, *si = NULL;
    m->m = weights_floats(w, SHAPE(n, r), "m");
    if (inputs) wi = weights_floats(w, SHAPE(inputs, n), "wi");
    if (inputs) si = weights_floats(w, SHAPE(inputs), "si");
    const float *h0 = weights_floats(w, SHAPE(n), "h0");
    float *span = arena_floats(w->arena, n * width);
    for (size_t i = 0; span && !w->status && i < n; i++) {
        float *row = span + i * width;
        memcpy(row, m->m + i * r, r * sizeof *row);
        for (size_t j = 0; j < inputs; j++) row[r + j] = si[j] * wi[j * n + i];
        row[r + inputs] = h0[i];
    }
    m->span = panels_pack(w->arena, n, width, span, NULL);
}

/* [columns, N] = factor scale[column] weight [N, columns], transposed */
static const float *weights_transpose(struct weights *w, const float *weight, const float *scale,
                                      size_t n, size_t columns, double factor)
{
    float *rows = arena_floats(w->arena, columns * n);
    for (size_t i = 0; rows && weight && i < n; i++)
        for (size_t c = 0; c < columns; c++)
            rows[c * n + i] = (float)(factor * (double)(scale ? scale[c] : 1.0f) *
                                      (double)weight[i * columns + c]);
    return rows;
}

static void output_load(struct lowrank *m, struct weights *w)
{
    size_t n = m->n_units;
    if (m->output == OUTPUT_UNITS) m->n_readout = n;
    if (m->output != OUTPUT_LINEAR) return;
    m->n_readout = weights_axis(w, "wo", 1, 4096);
    const float *wo = weights_floats(w, SHAPE(n, m->n_readout), "wo");
    const float *so = weights_floats(w, SHAPE(m->n_readout), "so");
    if (w->status) so = NULL;
    m->output_weight = weights_transpose(w, wo, so, n, m->n_readout, 1.0 / (double)n);
}

static void filter_load(struct lowrank *m, struct weights *w, struct fields *c)
{
    static const char *const observations[] = {
        [OBSERVATION_UNITS] = "units", [OBSERVATION_LINEAR] = "linear", NULL};
    size_t r = m->rank, spikes = m->n_spikes;
    m->observation = (enum observation)fields_choice(c, "observation", observations);
    m->iterations = (size_t)fields_int(c, "iterations", 1, 8);
    m->noise = weights_doubles(w, SHAPE(r, r), "filter.Q");
    m->start_covariance = weights_doubles(w, SHAPE(r, r), "filter.P0");
    if (m->observation == OBSERVATION_LINEAR)
        m->weight = weights_floats(w, SHAPE(spikes, r + m->n_inputs), "observation.weight");
    else
        m->gain = weights_floats(w, SHAPE(spikes), "observation.gain");
    m->bias = weights_floats(w, SHAPE(spikes), "observation.bias");
    if (m->observation == OBSERVATION_UNITS && spikes > m->n_units)
        fields_refuse(c, LATENT_E_CONFIG, "observation",
                      "\"units\" expected at most %zu spike channels, the units of the network, "
                      "found %zu",
                      m->n_units, spikes);
}

/* Channels are spikes, then inputs; driven models have inputs only. */
static void channels_check(struct lowrank *m, struct fields *c, size_t n_channels)
{
    bool driven = m->form == FORM_DRIVEN;
    m->n_spikes = driven || n_channels < m->n_inputs ? 0 : n_channels - m->n_inputs;
    if (driven && n_channels != m->n_inputs)
        fields_refuse(c, LATENT_E_CONFIG, NULL,
                      "a driven network expected a channel for each of its %zu inputs, "
                      "found %zu channels",
                      m->n_inputs, n_channels);
    if (!driven && !m->n_spikes)
        fields_refuse(c, LATENT_E_CONFIG, NULL,
                      "a filtered network expected spike channels before its %zu inputs, "
                      "found %zu channels in all",
                      m->n_inputs, n_channels);
}

static void *lowrank_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    static const char *const forms[] = {
        [FORM_DRIVEN] = "driven", [FORM_FILTERED] = "filtered", NULL};
    static const char *const outputs[] = {
        [OUTPUT_NONE] = "none", [OUTPUT_LINEAR] = "linear", [OUTPUT_UNITS] = "units", NULL};
    static const char *const activations[] = {
        [OUTPUT_TANH] = "tanh", [OUTPUT_IDENTITY] = "identity", NULL};
    struct lowrank m = {.rank = weights_axis(w, "m", 1, MAX_RANK)};
    m.n_units = weights_axis(w, "m", 0, MAX_UNITS);
    m.n_inputs = weights_has(w, "wi") ? weights_axis(w, "wi", 0, 4096) : 0;
    m.form = (enum form)fields_choice(c, "form", forms);
    m.alpha = fields_number(c, "alpha", 1e-6, 1.0);
    m.output = (enum output)fields_choice(c, "output", outputs);
    m.output_activation =
        (enum output_activation)fields_choice(c, "output_activation", activations);
    channels_check(&m, c, dims->n_channels);
    if (c->status) return NULL;
    span_load(&m, w);
    const float *n = weights_floats(w, SHAPE(m.n_units, m.rank), "n");
    m.n = weights_transpose(w, n, NULL, m.n_units, m.rank, m.alpha / (double)m.n_units);
    m.b = weights_floats(w, SHAPE(m.n_units), "b");
    output_load(&m, w);
    if (m.form == FORM_FILTERED) filter_load(&m, w, c);
    dims->n_latents = m.rank + m.n_inputs;
    dims->n_rates = m.n_spikes;
    dims->n_readout = m.n_readout;
    return arena_copy(w->arena, &m, sizeof m);
}

/* ---- state ---- */

static void filter_carve(struct lowrank_state *s, struct model_memory *mem)
{
    size_t r = s->m->rank, spikes = s->m->n_spikes;
    s->p = arena_doubles(mem->state, r * r);
    s->eta = arena_floats(mem->work, spikes);
    s->jacobian = arena_floats(mem->work, spikes * r);
    s->predicted = arena_doubles(mem->work, r);
    s->slope = arena_doubles(mem->work, r * r);
    s->information = arena_doubles(mem->work, r * r);
    s->push = arena_doubles(mem->work, r);
    s->posterior = arena_doubles(mem->work, r * r);
    s->scratch = arena_doubles(mem->work, RICCATI_SCRATCH(r));
}

static void *lowrank_init(const void *model, int mode, struct model_memory *mem)
{
    const struct lowrank *m = model;
    struct lowrank_state s = {.m = m};
    (void)mode;
    s.kappa = arena_doubles(mem->state, m->rank);
    s.v = arena_doubles(mem->state, m->n_inputs);
    s.fade = arena_doubles(mem->state, 1);
    s.n_bins = arena_counts(mem->state, 1);
    s.h = arena_floats(mem->work, m->n_units);
    s.unit = arena_floats(mem->work, m->n_units);
    s.span_in = arena_floats(mem->work, m->rank + m->n_inputs + 1);
    s.flow = arena_floats(mem->work, m->rank);
    if (m->form == FORM_FILTERED) filter_carve(&s, mem);
    return arena_copy(mem->work, &s, sizeof s);
}

static void lowrank_reset(void *state)
{
    struct lowrank_state *s = state;
    const struct lowrank *m = s->m;
    memset(s->kappa, 0, m->rank * sizeof *s->kappa);
    memset(s->v, 0, m->n_inputs * sizeof *s->v);
    *s->fade = 1.0;
    *s->n_bins = 0;
    if (s->p) memcpy(s->p, m->start_covariance, m->rank * m->rank * sizeof *s->p);
}

/* ---- the network ---- */

/* h [N] of the latents as they are now */
static void units_form(struct lowrank_state *s)
{
    const struct lowrank *m = s->m;
    for (size_t i = 0; i < m->rank; i++) s->span_in[i] = (float)s->kappa[i];
    for (size_t i = 0; i < m->n_inputs; i++) s->span_in[m->rank + i] = (float)s->v[i];
    s->span_in[m->rank + m->n_inputs] = (float)*s->fade;
    kernels_get()->matvec(s->h, &m->span, s->span_in);
}

/* unit [N] = tanh(h + b), or tanh(h) */
static void units_fire(struct lowrank_state *s, bool biased)
{
    const struct lowrank *m = s->m;
    memcpy(s->unit, s->h, m->n_units * sizeof *s->unit);
    if (biased) add(s->unit, m->b, m->n_units);
    kernels_get()->tanh(s->unit, m->n_units);
}

/* F = (1 - alpha) I + (alpha / N) n' diag(1 - unit^2) m */
static void slope_form(struct lowrank_state *s)
{
    const struct lowrank *m = s->m;
    size_t r = m->rank, n = m->n_units;
    memset(s->slope, 0, r * r * sizeof *s->slope);
    for (size_t i = 0; i < r; i++)
        for (size_t k = 0; k < n; k++) {
            float steep = m->n[i * n + k] * (1.0f - s->unit[k] * s->unit[k]);
            for (size_t j = 0; j < r; j++) s->slope[i * r + j] += (double)(steep * m->m[k * r + j]);
        }
    for (size_t i = 0; i < r; i++) s->slope[i * r + i] += 1.0 - m->alpha;
}

/* One step of kappa, v, the trace of h0 and, when filtered, P = F P F' + Q; u [I], or
 * NULL for no input. */
static void latents_advance(struct lowrank_state *s, const float *u)
{
    const struct lowrank *m = s->m;
    double kept = 1.0 - m->alpha;
    units_form(s);
    units_fire(s, *s->n_bins > 0);
    if (s->p) {
        slope_form(s);
        riccati_predict(s->p, s->slope, m->noise, m->rank, s->scratch);
    }
    /* flow [R] = (alpha / N) n' tanh(h + b) */
    kernels_get()->dots(s->flow, s->unit, m->n_units, m->n, m->n_units, m->rank);
    for (size_t i = 0; i < m->rank; i++) s->kappa[i] = kept * s->kappa[i] + (double)s->flow[i];
    for (size_t i = 0; i < m->n_inputs; i++)
        s->v[i] = kept * s->v[i] + (u ? m->alpha * (double)u[i] : 0.0);
    *s->fade *= kept;
    ++*s->n_bins;
}

/* ---- the filter ---- */

/* eta [M] and its slope in kappa [M, R], at the latents as they are now */
static void counts_expect(struct lowrank_state *s)
{
    const struct lowrank *m = s->m;
    size_t r = m->rank, width = r + m->n_inputs;
    units_form(s);
    units_fire(s, true);
    for (size_t i = 0; i < m->n_spikes; i++) {
        float *slope = s->jacobian + i * r, unit = 0.0f;
        if (m->observation == OBSERVATION_LINEAR) {
            for (size_t j = 0; j < width; j++) unit += m->weight[i * width + j] * s->span_in[j];
            memcpy(slope, m->weight + i * width, r * sizeof *slope);
        } else {
            unit = m->gain[i] * s->unit[i];
            float steep = m->gain[i] * (1.0f - s->unit[i] * s->unit[i]);
            for (size_t j = 0; j < r; j++) slope[j] = steep * m->m[i * r + j];
        }
        s->eta[i] = fminf(unit + m->bias[i], LOG_RATE_MAX);
    }
}

/* Information G and push J'(x - rate + rate J (kappa - kappa-)) of the counts x [M] */
static void information_form(struct lowrank_state *s, const float *x)
{
    size_t r = s->m->rank;
    memset(s->information, 0, r * r * sizeof *s->information);
    memset(s->push, 0, r * sizeof *s->push);
    kernels_get()->exp(s->eta, s->m->n_spikes);
    for (size_t i = 0; i < s->m->n_spikes; i++) {
        const float *slope = s->jacobian + i * r;
        double rate = (double)s->eta[i], ahead = 0.0;
        for (size_t j = 0; j < r; j++) ahead += (double)slope[j] * (s->kappa[j] - s->predicted[j]);
        double surprise = (double)x[i] - rate + rate * ahead;
        for (size_t j = 0; j < r; j++) {
            s->push[j] += (double)slope[j] * surprise;
            for (size_t k = 0; k < r; k++)
                s->information[j * r + k] += rate * (double)slope[j] * (double)slope[k];
        }
    }
}

/* Iterated correction of kappa by the counts x [M]; P becomes the posterior's. */
static void latents_correct(struct lowrank_state *s, const float *x)
{
    size_t r = s->m->rank;
    double *moved = s->scratch;
    memcpy(s->predicted, s->kappa, r * sizeof *s->kappa);
    for (size_t pass = 0; pass < s->m->iterations; pass++) {
        counts_expect(s);
        information_form(s, x);
        memcpy(s->posterior, s->p, r * r * sizeof *s->p);
        if (riccati_update(s->posterior, s->information, r, s->scratch)) return; /* (P^-1 + G)^-1 */
        matrix_multiply(moved, s->posterior, s->push, r, r, 1);                  /* [R] */
        for (size_t i = 0; i < r; i++) s->kappa[i] = s->predicted[i] + moved[i];
    }
    memcpy(s->p, s->posterior, r * r * sizeof *s->p);
}

/* ---- one bin ---- */

static void outputs_write(struct lowrank_state *s, struct model_out *out)
{
    const struct lowrank *m = s->m;
    if (m->n_spikes) {
        counts_expect(s);
        memcpy(out->rates, s->eta, m->n_spikes * sizeof *s->eta);
        kernels_get()->exp(out->rates, m->n_spikes);
    }
    units_form(s);
    memcpy(out->latents, s->span_in, (m->rank + m->n_inputs) * sizeof *s->span_in);
    if (!m->n_readout) return;
    if (m->output_activation == OUTPUT_TANH) kernels_get()->tanh(s->h, m->n_units);
    if (m->output == OUTPUT_UNITS)
        memcpy(out->readout, s->h, m->n_units * sizeof *s->h);
    else
        kernels_get()->dots(out->readout, s->h, m->n_units, m->output_weight, m->n_units,
                            m->n_readout);
}

static void lowrank_step(void *state, const float *counts, struct model_out *out)
{
    struct lowrank_state *s = state;
    latents_advance(s, counts + s->m->n_spikes);
    if (s->m->form == FORM_FILTERED) latents_correct(s, counts);
    outputs_write(s, out);
}

static void lowrank_predict(void *state, struct model_out *out)
{
    struct lowrank_state *s = state;
    latents_advance(s, NULL);
    outputs_write(s, out);
}

static const char *lowrank_counts_check(const void *model)
{
    const struct lowrank *m = model;
    return m->form == FORM_FILTERED ? "its filter weighs Poisson counts" : NULL;
}

const struct model_ops lowrank_ops = {
    .name = "lowrank",
    .modes = lowrank_modes,
    .load = lowrank_load,
    .init = lowrank_init,
    .reset = lowrank_reset,
    .step = lowrank_step,
    .predict = lowrank_predict,
    .counts_check = lowrank_counts_check,
};
