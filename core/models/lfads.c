/* LFADS, latent factor analysis via dynamical systems (Pandarinath et al. 2018; the equations
 * stand in models/lfads/card.md). Deterministic: means of the posteriors, no samples.
 *
 * An encoder reads a window in both directions and gives the generator's initial condition; a
 * second one feeds, bin by bin, a controller whose outputs drive the generator; factors and
 * rates are read from the generator. Streaming:
 *
 *   window   the newest W bins are encoded and decoded anew at each bin; the newest bin is kept.
 *   prefix   from trial_start: the first P bins give the initial condition, then each bin is one
 *            step. For models without a controller (until trial_bins, then OUTSIDE) or with one
 *            whose encoder looks back only.
 *   trial    offline. Models that offer "prefix" use every bin as it comes; others encode the
 *            first W bins and forecast those from W on.
 *
 * Before W (or P) bins were seen: the bins there are (WARMUP).
 *
 * Letters: I, E widths of the encoders (of the initial condition, of the controller), S controller,
 * U its outputs, X external inputs, G generator, K factors; C' the channels that fired. States and
 * gates of a cell are rounded up to whole units of 16.
 *
 * State: the products of W (prefix: P) bins with the encoders' input weights, which do not depend
 * on the window, 6 W (I + E) floats, and the decoder's G + S + K.
 * Multiply-adds per bin:
 *   window           6 (I + E) C' + W (6 (I^2 + E^2) + decoder)
 *   prefix, past P   3 E (C' + E) + decoder, with E for 2 E
 *   decoder          3 S (2 E + K + S) + S U + 3 G (U + X + G) + G K
 * predict: controller and generator step on, the encoder's input to the controller zero; where
 * the missing bin itself is needed later it counts as the counts the model expected. External
 * inputs (the last X channels) are then zero. */
#include <string.h>

#include "models/lfads_weights.h"

enum lfads_mode { MODE_WINDOW, MODE_PREFIX, MODE_TRIAL };

static const struct latent_mode lfads_modes[] = {
    [MODE_WINDOW] = {.name = "window"},
    [MODE_PREFIX] = {.name = "prefix", .aligned = 1},
    [MODE_TRIAL] = {.name = "trial", .offline = 1},
    {0},
};

static const char *lfads_mode_check(const void *model, int mode)
{
    if (mode == MODE_PREFIX && !lfads_runs_on(model))
        return "mode \"prefix\" needs an initial condition from a prefix (prefix_bins above 0, "
               "or ic_enc_dim 0) and no controller, or one with ci_bidirectional false: "
               "use \"window\"";
    return NULL;
}

/* Is what it expects of each channel what it would get? */
static bool lfads_feeds_itself(const struct lfads *m)
{
    return m->n_out >= m->n_spikes && !(m->poisson && m->is_normalised);
}

static const char *lfads_predict_check(const void *model)
{
    const struct lfads *m = model;
    if (lfads_feeds_itself(m) || m->channel_mean) return NULL;
    return "an lfads without a rate for each channel fills missing bins with " MODEL_LACKS_MEAN;
}

/* ---- state ---- */

struct lfads_state {
    const struct lfads *m;
    enum lfads_mode mode;
    uint64_t *n_bins;                        /* since the reset */
    struct encoder_window ic, ci;            /* of the newest W (prefix: P) bins */
    struct window external;                  /* [W or P, X] */
    struct window ahead;                     /* [lag + 1, E] forward states of the newest bins */
    float *generator, *factors, *controller; /* [G], [K], [S] at the newest bin */
    float *drive;                            /* [U + X] */
    float *given, *h, *scratch;              /* [3 G, 3 S or 3 E], [I or E], ... */
    float *ends, *initial;                   /* [2 I], [D0] */
    float *ci_rows, *ci_given;               /* [W, E or 2 E], [W, 3 S] */
    float *input, *expected;                 /* [N'], [C] */
    uint32_t *index;                         /* [N'] */
};

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void scratch_init(struct lfads_state *s, size_t rows, struct arena *work)
{
    const struct lfads *m = s->m;
    size_t widest = panels_padded(
        max_size(max_size(m->n_generator, m->n_controller), max_size(m->ic.hidden, m->ci.hidden)));
    s->drive = arena_floats(work, m->n_inputs + m->n_external);
    s->given = arena_floats(work, 3 * widest);
    s->h = arena_floats(work, widest);
    s->scratch = arena_floats(work, CLIPPED_GRU_SCRATCH(widest));
    s->ends = arena_floats(work, 2 * m->ic.hidden);
    s->initial = arena_floats(work, m->n_initial);
    s->ci_rows = arena_floats(work, rows * m->ci.n_directions * m->ci.hidden);
    s->ci_given = arena_floats(work, rows * 3 * m->controller.size);
    s->input = arena_floats(work, m->n_input);
    s->expected = arena_floats(work, m->n_channels);
    s->index = arena_take(work, m->n_input * sizeof *s->index);
}

static void *lfads_init(const void *model, int mode, struct model_memory *mem)
{
    const struct lfads *m = model;
    struct lfads_state s = {.m = m, .mode = (enum lfads_mode)mode};
    size_t rows = mode == MODE_PREFIX ? max_size(m->prefix_bins, 1) : m->window_bins;
    s.n_bins = arena_counts(mem->state, 1);
    if (m->ic.hidden) encoder_window_init(&s.ic, &m->ic, rows, mem->state);
    if (m->n_controller && mode != MODE_PREFIX)
        encoder_window_init(&s.ci, &m->ci, rows, mem->state);
    window_init(&s.external, rows, m->n_external, mem->state);
    window_init(&s.ahead, m->lag + 1, panels_padded(m->ci.hidden), mem->state);
    s.generator = arena_floats(mem->state, m->generator.size);
    s.factors = arena_floats(mem->state, m->n_factors);
    s.controller = arena_floats(mem->state, m->controller.size);
    scratch_init(&s, rows, mem->work);
    return arena_copy(mem->work, &s, sizeof s);
}

static void lfads_reset(void *state)
{
    struct lfads_state *s = state;
    *s->n_bins = 0;
}

/* ---- forward ---- */

/* What the encoders see of counts [C]: x [N'], and in s->index what is not zero. */
static const float *input_read(struct lfads_state *s, const float *counts, size_t *n)
{
    const struct lfads *m = s->m;
    const float *x = counts;
    if (m->has_readin) {
        linear_forward(&m->readin, s->input, counts);
        x = s->input;
    }
    *n = nonzero_index(s->index, x, m->n_input);
    return x;
}

/* Bin t enters the window. */
static void window_push(struct lfads_state *s, uint64_t t, const float *counts)
{
    const struct lfads *m = s->m;
    size_t n;
    const float *x = input_read(s, counts, &n);
    if (m->ic.hidden) encoder_window_push(&s->ic, &m->ic, t, x, s->index, n);
    if (s->ci.products[0].rows) encoder_window_push(&s->ci, &m->ci, t, x, s->index, n);
    if (m->n_external)
        memcpy(window_row(&s->external, t), counts + m->n_spikes, m->n_external * sizeof *counts);
}

/* The decoder before the first bin, from the n bins that give the initial condition. */
static void decoder_start(struct lfads_state *s, uint64_t first, size_t n)
{
    const struct lfads *m = s->m;
    const float *initial = m->constant;
    if (!initial) {
        for (int d = ENCODER_FORWARD; d <= ENCODER_BACKWARD; d++) {
            encoder_window_run(&s->ic, &m->ic, (enum encoder_direction)d, first, n, s->h, NULL, 0,
                               s->scratch);
            memcpy(s->ends + (size_t)d * m->ic.hidden, s->h, m->ic.hidden * sizeof *s->h);
        }
        kernels_get()->matvec(s->initial, &m->initial, s->ends);
        initial = s->initial;
    }
    linear_forward(&m->start, s->generator, initial);             /* g [G] = W initial [D0] + b */
    kernels_get()->matvec(s->factors, &m->factors, s->generator); /* fac [K] = W g */
    if (m->n_controller)
        memcpy(s->controller, m->controller_start, m->n_controller * sizeof *s->controller);
}

/* For each of the n bins from `first` on, the encoder's part of the controller's input
 * product, into s->ci_given [n, 3 S]: state `lag` bins before and, bidirectional, `lag`
 * bins after; zero where there is none. */
static void controller_encode(struct lfads_state *s, uint64_t first, size_t n)
{
    const struct lfads *m = s->m;
    size_t size = m->ci.hidden, width = m->ci.n_directions * size;
    size_t n_known = n > m->lag ? n - m->lag : 0; /* rows with a state `lag` bins away */
    float *rows = s->ci_rows, *h = s->h;          /* [n, E or 2 E], row i: [f_i-lag; b_i+lag] */
    memset(rows, 0, n * width * sizeof *rows);
    if (n_known)
        encoder_window_run(&s->ci, &m->ci, ENCODER_FORWARD, first, n_known, h,
                           rows + m->lag * width, width, s->scratch);
    if (n_known && m->ci.n_directions == 2)
        encoder_window_run(&s->ci, &m->ci, ENCODER_BACKWARD, first + m->lag, n_known, h,
                           rows + size, width, s->scratch);
    kernels_get()->matmul(s->ci_given, 3 * m->controller.size, &m->from_encoder, rows, width, n, 0);
}

/* One bin of controller and generator. ci_given [3 S], external [X]: NULL for zeros. */
static void decoder_step(struct lfads_state *s, const float *ci_given, const float *external)
{
    const struct kernels *k = kernels_get();
    const struct lfads *m = s->m;
    if (m->n_controller) {
        size_t n_given = 3 * m->controller.size;
        memcpy(s->given, m->controller.bias, n_given * sizeof *s->given);
        if (ci_given) add(s->given, ci_given, n_given);        /* [3 S] = b + W_c c_t */
        k->matvec_add(s->given, &m->from_factors, s->factors); /*       + W_f fac [K] */
        clipped_gru_forward(&m->controller, s->controller, s->given, s->scratch); /* con [S] */
        k->matvec(s->drive, &m->inputs, s->controller); /* u [U] = W_co con + b */
    }
    for (size_t i = 0; i < m->n_external; i++)
        s->drive[m->n_inputs + i] = external ? external[i] : 0.0f;
    k->matvec(s->given, &m->drive, s->drive); /* [3 G] = b + W [u; external] */
    clipped_gru_forward(&m->generator, s->generator, s->given, s->scratch); /* g [G] */
    k->matvec(s->factors, &m->factors, s->generator);                       /* fac [K] = W g */
}

/* The decoder's state as row t of the outputs. */
static void outputs_write(const struct lfads_state *s, struct model_out *out, size_t t)
{
    const struct lfads *m = s->m;
    const struct {
        const float *values;
        size_t n;
    } latents[] = {
        [LATENTS_FACTORS] = {s->factors, m->n_factors},
        [LATENTS_GENERATOR] = {s->generator, m->n_generator},
        [LATENTS_CONTROLLER] = {s->controller, m->n_controller},
        [LATENTS_INPUTS] = {s->drive, m->n_inputs},
    };
    size_t n = latents[m->latents].n;
    float *y = (m->poisson ? out->rates : out->readout) + t * m->n_out;
    memcpy(out->latents + t * n, latents[m->latents].values, n * sizeof *out->latents);
    kernels_get()->matvec(y, &m->readout, s->factors);
    if (m->poisson) out->flags |= link_apply(m->link, y, m->n_out);
}

/* Encode and decode the n bins from `first` on; publish the newest, or all of them. */
static void window_decode(struct lfads_state *s, uint64_t first, size_t n, struct model_out *out,
                          bool all)
{
    const struct lfads *m = s->m;
    size_t prefix = m->prefix_bins < n ? m->prefix_bins : n;
    decoder_start(s, first, m->prefix_bins ? prefix : n);
    if (m->n_controller && prefix < n) controller_encode(s, first + prefix, n - prefix);
    for (size_t i = 0; i < n; i++) {
        bool has_ci = m->n_controller && i >= prefix;
        decoder_step(s, has_ci ? s->ci_given + (i - prefix) * 3 * m->controller.size : NULL,
                     window_row(&s->external, first + i));
        if (all) outputs_write(s, out, i);
    }
    if (!all) outputs_write(s, out, 0);
}

/* The forward encoder's state at bin t, from that at the bin before. */
static void encoder_step(struct lfads_state *s, uint64_t t, const float *counts)
{
    const struct lfads *m = s->m;
    size_t n;
    const float *x = input_read(s, counts, &n);
    const float *before = t == m->prefix_bins ? clipped_encoder_start(&m->ci, ENCODER_FORWARD)
                                              : window_row(&s->ahead, t - 1);
    float *h = window_row(&s->ahead, t);
    if (h != before) memcpy(h, before, m->ci.hidden * sizeof *h);
    kernels_get()->matvec_sparse(s->given, &m->ci.input[0], x, s->index, n);
    clipped_gru_forward(&m->ci.cell[0], h, s->given, s->scratch);
}

/* One bin past the prefix: one step of everything. */
static void prefix_step(struct lfads_state *s, uint64_t t, const float *counts)
{
    const struct lfads *m = s->m;
    const float *ci_given = NULL;
    if (t == 0) decoder_start(s, 0, 0);
    if (m->n_controller) {
        encoder_step(s, t, counts);
        if (t >= m->prefix_bins + m->lag) {
            kernels_get()->matvec(s->ci_given, &m->from_encoder, window_row(&s->ahead, t - m->lag));
            ci_given = s->ci_given;
        }
    }
    decoder_step(s, ci_given, counts + m->n_spikes);
}

/* A model without a controller was made for trials of a certain length. */
static bool is_past_end(const struct lfads_state *s, uint64_t t)
{
    return s->mode == MODE_PREFIX && !s->m->n_controller && t >= s->m->trial_bins;
}

static bool is_collecting(const struct lfads_state *s, uint64_t t)
{
    return s->mode == MODE_WINDOW || t < s->m->prefix_bins;
}

static uint32_t warmup_flag(const struct lfads_state *s, uint64_t t)
{
    size_t n = s->mode == MODE_WINDOW ? s->m->window_bins : s->m->prefix_bins;
    return t + 1 < n ? LATENT_WARMUP : 0;
}

static void lfads_step(void *state, const float *counts, struct model_out *out)
{
    struct lfads_state *s = state;
    size_t size = s->m->window_bins;
    uint64_t t = (*s->n_bins)++;
    if (is_past_end(s, t)) {
        out->flags |= LATENT_OUTSIDE;
        return;
    }
    if (is_collecting(s, t)) {
        size_t n = t + 1 < size ? (size_t)t + 1 : size;
        window_push(s, t, counts);
        window_decode(s, t + 1 - n, n, out, false);
    } else {
        prefix_step(s, t, counts);
        outputs_write(s, out, 0);
    }
    out->flags |= warmup_flag(s, t);
}

/* What a missing bin counts as [C]: what was expected of it (out), or the training mean. */
static const float *expected_counts(struct lfads_state *s, const struct model_out *out)
{
    const struct lfads *m = s->m;
    const float *given = m->channel_mean;
    if (out && lfads_feeds_itself(m)) given = m->poisson ? out->rates : out->readout;
    memset(s->expected, 0, m->n_channels * sizeof *s->expected);
    if (given) memcpy(s->expected, given, m->n_spikes * sizeof *s->expected);
    return s->expected;
}

static void lfads_predict(void *state, struct model_out *out)
{
    struct lfads_state *s = state;
    const struct lfads *m = s->m;
    uint64_t t = *s->n_bins;
    if (is_past_end(s, t) || (t == 0 && is_collecting(s, t))) {
        lfads_step(s, expected_counts(s, NULL), out);
        return;
    }
    if (t == 0) decoder_start(s, 0, 0);
    decoder_step(s, NULL, NULL);
    outputs_write(s, out, 0);
    const float *counts = expected_counts(s, out);
    if (is_collecting(s, t))
        window_push(s, t, counts);
    else if (m->n_controller)
        encoder_step(s, t, counts);
    if (s->mode == MODE_PREFIX && t + 1 == m->prefix_bins)
        window_decode(s, 0, m->prefix_bins, out, false);
    out->flags |= warmup_flag(s, t);
    *s->n_bins = t + 1;
}

static void lfads_trial(void *state, const float *counts, size_t n_bins, struct model_out *out)
{
    struct lfads_state *s = state;
    const struct lfads *m = s->m;
    size_t n = lfads_runs_on(m) ? m->prefix_bins : m->window_bins;
    if (n_bins < n) n = n_bins;
    for (size_t t = 0; t < n; t++) window_push(s, t, counts + t * m->n_channels);
    if (n) window_decode(s, 0, n, out, true);
    for (size_t t = n; t < n_bins; t++) {
        if (lfads_runs_on(m))
            prefix_step(s, t, counts + t * m->n_channels);
        else
            decoder_step(s, NULL, NULL);
        outputs_write(s, out, t);
    }
}

const struct model_ops lfads_ops = {
    .name = "lfads",
    .narrow = true,
    .modes = lfads_modes,
    .load = lfads_load,
    .init = lfads_init,
    .reset = lfads_reset,
    .step = lfads_step,
    .predict = lfads_predict,
    .trial = lfads_trial,
    .mode_check = lfads_mode_check,
    .predict_check = lfads_predict_check,
};
