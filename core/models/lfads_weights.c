/* Binding an LFADS model: hyper-parameters, their contradictions, tensors. */
#include "models/lfads_weights.h"

#include <math.h>

#define CELL "decoder.rnn.cell."

enum kind { KIND_POISSON, KIND_GAUSSIAN };

static void hyper_read(struct lfads *m, struct fields *c)
{
    static const char *const kinds[] = {
        [KIND_POISSON] = "poisson", [KIND_GAUSSIAN] = "gaussian", NULL};
    static const char *const latents[] = {[LATENTS_FACTORS] = "factors",
                                          [LATENTS_GENERATOR] = "generator",
                                          [LATENTS_CONTROLLER] = "controller",
                                          [LATENTS_INPUTS] = "inputs",
                                          NULL};
    const long long most = 16384;
    m->window_bins = (size_t)fields_int(c, "window_bins", 1, 65536);
    m->trial_bins = (size_t)fields_int(c, "trial_bins", (long long)m->window_bins, 65536);
    m->prefix_bins = (size_t)fields_int(c, "prefix_bins", 0, (long long)m->window_bins - 1);
    m->lag = (size_t)fields_int(c, "ci_lag", 0, (long long)m->window_bins - 1);
    m->n_input = (size_t)fields_int(c, "readin_dim", 0, most);
    m->ic.hidden = (size_t)fields_int(c, "ic_enc_dim", 0, most);
    m->ci.hidden = (size_t)fields_int(c, "ci_enc_dim", 0, most);
    m->n_controller = (size_t)fields_int(c, "con_dim", 0, most);
    m->n_inputs = (size_t)fields_int(c, "co_dim", 0, most);
    m->n_initial = (size_t)fields_int(c, "ic_dim", 1, most);
    m->n_generator = (size_t)fields_int(c, "gen_dim", 1, most);
    m->n_factors = (size_t)fields_int(c, "fac_dim", 1, most);
    m->n_external = (size_t)fields_int(c, "ext_input_dim", 0, (long long)m->n_channels);
    m->ci.n_directions = fields_bool(c, "ci_bidirectional") ? 2 : 1;
    m->clip = (float)fields_number(c, "cell_clip", 1e-6, 1e30);
    m->poisson = fields_choice(c, "reconstruction", kinds) == KIND_POISSON;
    if (m->poisson) m->link = link_read(c, false);
    m->latents = fields_choice(c, "latents", latents);
    fields_int(c, "samples", 0, 0);
}

/* Hyper-parameters that contradict each other or the channel count. */
static int hyper_check(const struct lfads *m, struct fields *c)
{
    bool any = m->ci.hidden || m->n_controller || m->n_inputs;
    bool all = m->ci.hidden && m->n_controller && m->n_inputs;
    if (c->status) return c->status;
    if (any && !all)
        return fields_refuse(c, LATENT_E_CONFIG, "ci_enc_dim",
                             "expected with \"con_dim\" and \"co_dim\" all above 0, "
                             "or all 0 (no controller)");
    if (!m->n_spikes && (m->ic.hidden || m->n_controller || m->has_readin))
        return fields_refuse(c, LATENT_E_CONFIG, "ext_input_dim",
                             "expected less than n_channels, found all of them");
    if (m->prefix_bins && !m->ic.hidden)
        return fields_refuse(c, LATENT_E_CONFIG, "prefix_bins",
                             "expected 0 where \"ic_enc_dim\" is 0");
    if (m->n_controller && m->ci.n_directions == 1 && m->ic.hidden && !m->prefix_bins)
        return fields_refuse(c, LATENT_E_CONFIG, "prefix_bins",
                             "expected at least 1 where \"ci_bidirectional\" is false "
                             "and \"ic_enc_dim\" is not 0");
    if (!m->n_controller && m->latents >= LATENTS_CONTROLLER)
        return fields_refuse(c, LATENT_E_CONFIG, "latents",
                             "expected factors or generator of a model without a controller");
    return 0;
}

/* The first n_kept rows (means) of a layer that has log-variances behind them. */
static struct panels means_load(struct weights *w, size_t n_kept, size_t n_out, size_t n_in,
                                const char *name)
{
    const float *weight = weights_matrix(w, n_out, n_in, "%s.weight", name);
    const float *bias = weights_floats(w, SHAPE(n_out), "%s.bias", name);
    return panels_load(w, n_kept, n_in, weight, bias);
}

/* Each row divided by its length. */
static struct panels factors_load(struct weights *w, size_t n_out, size_t n_in)
{
    const float *weight = weights_matrix(w, n_out, n_in, CELL "fac_linear.weight");
    float *unit = weights_raw(w, n_out * n_in);
    for (size_t i = 0; unit && weight && i < n_out; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < n_in; j++)
            sum += (double)weight[i * n_in + j] * (double)weight[i * n_in + j];
        double length = fmax(sqrt(sum), 1e-12);
        for (size_t j = 0; j < n_in; j++)
            unit[i * n_in + j] = (float)((double)weight[i * n_in + j] / length);
    }
    return panels_load(w, n_out, n_in, unit, NULL);
}

static void initial_load(struct lfads *m, struct weights *w)
{
    if (m->ic.hidden == 0) {
        m->constant = weights_floats(w, SHAPE(m->n_initial), "ic_prior.mean");
        return;
    }
    clipped_encoder_load(&m->ic, w, m->n_input, m->ic.hidden, 2, m->clip, "encoder.ic_enc");
    m->initial =
        means_load(w, m->n_initial, 2 * m->n_initial, 2 * m->ic.hidden, "encoder.ic_linear");
}

static void controller_load(struct lfads *m, struct weights *w)
{
    size_t n_given = m->ci.n_directions * m->ci.hidden;
    struct clipped_gru *cell = &m->controller;
    clipped_encoder_load(&m->ci, w, m->n_input, m->ci.hidden, m->ci.n_directions, m->clip,
                         "encoder.ci_enc");
    clipped_gru_load(cell, w, n_given + m->n_factors, m->n_controller, m->clip, CELL "con_cell");
    m->from_encoder = clipped_gru_input(cell, w, 0, n_given, NULL);
    m->from_factors = clipped_gru_input(cell, w, n_given, m->n_factors, NULL);
    m->inputs = means_load(w, m->n_inputs, 2 * m->n_inputs, m->n_controller, CELL "co_linear");
    m->controller_start = weights_floats(w, SHAPE(1, m->n_controller), "decoder.con_h0");
}

static void decoder_load(struct lfads *m, struct weights *w)
{
    const struct tensor *t = weights_peek(w, "readout.weight");
    size_t n_read = t && t->n_dims && t->shape[0] ? t->shape[0] : 1;
    size_t n_drive = m->n_inputs + m->n_external;
    m->n_out = m->poisson ? n_read : (n_read + 1) / 2;
    linear_load(&m->start, w, m->n_generator, m->n_initial, "decoder.ic_to_g0");
    clipped_gru_load(&m->generator, w, n_drive, m->n_generator, m->clip, CELL "gen_cell");
    m->drive = clipped_gru_input(&m->generator, w, 0, n_drive, m->generator.bias);
    m->factors = factors_load(w, m->n_factors, m->n_generator);
    m->readout =
        means_load(w, m->n_out, m->poisson ? n_read : 2 * m->n_out, m->n_factors, "readout");
}

bool lfads_runs_on(const struct lfads *m)
{
    bool looks_ahead = m->n_controller && m->ci.n_directions == 2;
    return !looks_ahead && (m->ic.hidden == 0 || m->prefix_bins > 0);
}

void *lfads_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    struct lfads m = {.n_channels = dims->n_channels,
                      .channel_mean = dims->channel_mean,
                      .is_normalised = dims->is_normalised};
    hyper_read(&m, c);
    m.has_readin = m.n_input > 0;
    m.n_spikes = m.n_channels - m.n_external;
    if (hyper_check(&m, c)) return NULL;
    if (m.has_readin)
        linear_load(&m.readin, w, m.n_input, m.n_spikes, "readin");
    else
        m.n_input = m.n_spikes;
    initial_load(&m, w);
    if (m.n_controller) controller_load(&m, w);
    decoder_load(&m, w);
    const size_t n_latents[] = {[LATENTS_FACTORS] = m.n_factors,
                                [LATENTS_GENERATOR] = m.n_generator,
                                [LATENTS_CONTROLLER] = m.n_controller,
                                [LATENTS_INPUTS] = m.n_inputs};
    dims->n_latents = n_latents[m.latents];
    dims->n_rates = m.poisson ? m.n_out : 0;
    dims->n_readout = m.poisson ? 0 : m.n_out;
    dims->trial_bins = m.n_controller && lfads_runs_on(&m) ? 0 : m.trial_bins;
    return arena_copy(w->arena, &m, sizeof m);
}
