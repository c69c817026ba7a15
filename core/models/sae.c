/* Sequential auto-encoders with a neural-ODE, GRU or perceptron decoder (Sedler, Versteeg &
 * Pandarinath 2023; the equations stand in models/sae/card.md).
 *
 * A bidirectional GRU reads a window of T bins, its two last states give z at the window's first
 * bin, and the decoder alone carries z from there to the newest bin. Streaming:
 *
 *   window     the newest T bins are encoded anew at each bin; the newest bin is kept.
 *   protocol   from trial_start: the first T bins as in "window"; from then on the decoder runs
 *              on without looking at the input.
 *   trial      offline: the first T bins are encoded, every bin is given, those past T are
 *              forecasts.
 *
 * Before T bins were seen the window holds those there are (WARMUP).
 *
 * State: 6 T E floats (E rounded up to 16) and z; the products of the input with both directions'
 * weights do not depend on the window, so each is made once.
 * Multiply-adds per bin: 6 E (C' + T E), C' the channels that fired, then T decoder steps
 * ("protocol" past T: one) of
 *   node   2 D F times 6 (tsit5) or 4 (rk4) times substeps
 *   gru    3 D^2
 *   mlp    2 D F
 * predict: the decoder runs on; in the window the missing bin counts as the counts the model
 * expected. */
#include <string.h>

#include "layers/gru_cell.h"
#include "layers/link.h"
#include "layers/ode.h"
#include "layers/window.h"
#include "models/model.h"

enum sae_mode { MODE_WINDOW, MODE_PROTOCOL, MODE_TRIAL };
enum sae_decoder { DECODER_NODE, DECODER_GRU, DECODER_MLP };
enum sae_first { FIRST_Z0, FIRST_STEP };

static const struct latent_mode sae_modes[] = {
    [MODE_WINDOW] = {.name = "window"},
    [MODE_PROTOCOL] = {.name = "protocol", .aligned = 1},
    [MODE_TRIAL] = {.name = "trial", .offline = 1},
    {0},
};

struct sae {
    size_t n_channels, n_latents, n_rates, encoder_size; /* C, D, N, E */
    size_t window_bins;                                  /* T */
    const float *channel_mean;                           /* [C] or NULL */
    bool is_normalised;                                  /* counts that it expects are no input */
    struct gru_cell forward, backward;                   /* C -> E */
    struct linear start;                                 /* 2 E -> D */
    struct linear readout;                               /* D -> N */
    enum rate_link link;
    int decoder, first;
    struct perceptron perceptron; /* node: the vector field; mlp: the update */
    int solver;                   /* node */
    size_t substeps;
    float step;           /* node: per substep; mlp: z += step * update */
    bool replaces;        /* mlp: z = update */
    struct gru_cell cell; /* gru */
};

/* ---- load ---- */

static void node_load(struct sae *m, struct weights *w, struct fields *c)
{
    static const char *const solvers[] = {[ODE_TSIT5] = "tsit5", [ODE_RK4] = "rk4", NULL};
    size_t hidden = (size_t)fields_int(c, "hidden", 1, 65536);
    double step = fields_number(c, "step", 1e-9, 1e9);
    m->solver = fields_choice(c, "solver", solvers);
    m->substeps = (size_t)fields_int(c, "substeps", 1, 1000);
    m->step = (float)(step / (double)m->substeps);
    m->perceptron.activation = PERCEPTRON_TANH;
    perceptron_load(&m->perceptron, w, 0, m->n_latents, hidden, "decoder.vf.vf.vf");
}

static void cell_load(struct sae *m, struct weights *w)
{
    gru_cell_load(&m->cell, w, 1, m->n_latents, "decoder.cell", "");
}

static void mlp_load(struct sae *m, struct weights *w, struct fields *c)
{
    static const char *const activations[] = {
        [PERCEPTRON_TANH] = "tanh", [PERCEPTRON_RELU] = "relu", NULL};
    size_t hidden = (size_t)fields_int(c, "hidden", 1, 65536);
    m->perceptron.activation =
        (enum perceptron_activation)fields_choice(c, "activation", activations);
    m->replaces = json_is_null(fields_value(c, "dt"));
    if (!m->replaces) m->step = (float)fields_number(c, "dt", 1e-9, 1e9);
    perceptron_load(&m->perceptron, w, 1, m->n_latents, hidden, "decoder.cell.mlp");
}

/* Rows of readout.weight, at least 1; what is wrong shows when it is taken. */
static size_t rates_of(const struct weights *w)
{
    const struct tensor *t = weights_peek(w, "readout.weight");
    return t && t->n_dims && t->shape[0] ? t->shape[0] : 1;
}

static void *sae_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    static const char *const decoders[] = {
        [DECODER_NODE] = "node", [DECODER_GRU] = "gru", [DECODER_MLP] = "mlp", NULL};
    static const char *const firsts[] = {[FIRST_Z0] = "z0", [FIRST_STEP] = "step", NULL};
    struct sae m = {.n_channels = dims->n_channels,
                    .channel_mean = dims->channel_mean,
                    .is_normalised = dims->is_normalised};
    m.window_bins = (size_t)fields_int(c, "window_bins", 1, 65536);
    m.encoder_size = (size_t)fields_int(c, "encoder_size", 1, 16384);
    m.n_latents = (size_t)fields_int(c, "latent_dim", 1, 16384);
    m.decoder = fields_choice(c, "decoder", decoders);
    m.first = fields_choice(c, "first_output", firsts);
    m.link = link_read(c, false);
    if (c->status) return NULL;

    size_t size = m.encoder_size;
    m.n_rates = rates_of(w);
    gru_cell_load(&m.forward, w, m.n_channels, size, "encoder", "_l0");
    gru_cell_load(&m.backward, w, m.n_channels, size, "encoder", "_l0_reverse");
    linear_load(&m.start, w, m.n_latents, 2 * size, "ic_linear");
    if (m.decoder == DECODER_NODE) node_load(&m, w, c);
    if (m.decoder == DECODER_GRU) cell_load(&m, w);
    if (m.decoder == DECODER_MLP) mlp_load(&m, w, c);
    linear_load(&m.readout, w, m.n_rates, m.n_latents, "readout");
    dims->n_latents = m.n_latents;
    dims->n_rates = m.n_rates;
    return arena_copy(w->arena, &m, sizeof m);
}

/* Is what it expects of each channel what it would get? */
static bool sae_feeds_itself(const struct sae *m)
{
    return m->n_rates >= m->n_channels && !m->is_normalised;
}

static const char *sae_predict_check(const void *model)
{
    const struct sae *m = model;
    if (sae_feeds_itself(m) || m->channel_mean) return NULL;
    return "an sae without a rate for each channel fills missing bins with " MODEL_LACKS_MEAN;
}

/* ---- state ---- */

struct sae_state {
    const struct sae *m;
    enum sae_mode mode;
    uint64_t *n_bins;                /* since the reset */
    struct window forward, backward; /* [T, 3 size] input products */
    float *z;                        /* [D, rounded up to 16] at the newest bin */
    float *h, *ends;                 /* [2, size of the cells], [2 E]: forward, backward */
    float *scratch;
    float *zeros;    /* [C] */
    uint32_t *index; /* [C] */
};

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t scratch_size(const struct sae *m)
{
    size_t encoder = GRU_CELL_SCRATCH(m->forward.size);
    size_t cell = GRU_CELL_SCRATCH(m->cell.size);
    size_t node = ODE_SCRATCH(m->n_latents, m->perceptron.hidden);
    return max_size(encoder, max_size(cell, node));
}

static void *sae_init(const void *model, int mode, struct model_memory *mem)
{
    const struct sae *m = model;
    struct sae_state s = {.m = m, .mode = (enum sae_mode)mode};
    s.n_bins = arena_counts(mem->state, 1);
    window_init(&s.forward, m->window_bins, 3 * m->forward.size, mem->state);
    window_init(&s.backward, m->window_bins, 3 * m->backward.size, mem->state);
    s.z = arena_floats(mem->state, panels_padded(m->n_latents));
    s.h = arena_floats(mem->work, m->forward.size + m->backward.size);
    s.ends = arena_floats(mem->work, 2 * m->encoder_size);
    s.scratch = arena_floats(mem->work, scratch_size(m));
    s.zeros = arena_floats(mem->work, m->n_channels);
    s.index = arena_take(mem->work, m->n_channels * sizeof *s.index);
    return arena_copy(mem->work, &s, sizeof s);
}

static void sae_reset(void *state)
{
    struct sae_state *s = state;
    *s->n_bins = 0;
}

/* ---- forward ---- */

/* Bin t enters the window: its products with both directions' input weights. */
static void window_push(struct sae_state *s, uint64_t t, const float *counts)
{
    const struct kernels *k = kernels_get();
    const struct sae *m = s->m;
    size_t n = nonzero_index(s->index, counts, m->n_channels);
    k->matvec_sparse(window_row(&s->forward, t), &m->forward.input, counts, s->index, n);
    k->matvec_sparse(window_row(&s->backward, t), &m->backward.input, counts, s->index, n);
}

/* z at the first of the n bins from `first` on, from all of them. */
static void window_encode(struct sae_state *s, uint64_t first, size_t n)
{
    const struct sae *m = s->m;
    size_t n_bytes = m->encoder_size * sizeof *s->h;
    float *ahead = s->h, *back = s->h + m->forward.size; /* states from zero, [size] each */
    memset(s->h, 0, (m->forward.size + m->backward.size) * sizeof *s->h);
    for (size_t i = 0; i < n; i++)
        gru_cell_follow(&m->forward, i, ahead, window_row(&s->forward, first + i), s->scratch);
    for (size_t i = n; i-- > 0;)
        gru_cell_follow(&m->backward, i, back, window_row(&s->backward, first + i), s->scratch);
    memcpy(s->ends, ahead, n_bytes); /* [2 E]: forward at the last bin, backward at the first */
    memcpy(s->ends + m->encoder_size, back, n_bytes);
    linear_forward(&m->start, s->z, s->ends); /* z [D] = W ends + b */
}

static void node_step(struct sae_state *s)
{
    const struct sae *m = s->m;
    for (size_t i = 0; i < m->substeps; i++)
        ode_step((enum ode_solver)m->solver, &m->perceptron, s->z, m->step, s->scratch);
}

/* The cell's input is a constant zero: what is left of its product is the bias. */
static void cell_step(struct sae_state *s)
{
    gru_cell_forward(&s->m->cell, s->z, s->m->cell.input.bias, s->scratch);
}

static void mlp_step(struct sae_state *s)
{
    const struct sae *m = s->m;
    float *update = s->scratch; /* [D, rounded up to 16] */
    perceptron_forward(&m->perceptron, update, s->z, update + panels_padded(m->n_latents));
    for (size_t i = 0; i < m->n_latents; i++)
        s->z[i] = m->replaces ? update[i] : s->z[i] + m->step * update[i];
}

/* z one bin further. */
static void decoder_step(struct sae_state *s)
{
    static void (*const steps[])(struct sae_state *) = {
        [DECODER_NODE] = node_step,
        [DECODER_GRU] = cell_step,
        [DECODER_MLP] = mlp_step,
    };
    steps[s->m->decoder](s);
}

/* Returns the flags of the rates' link. */
static uint32_t outputs_write(const struct sae_state *s, float *latents, float *rates)
{
    const struct sae *m = s->m;
    memcpy(latents, s->z, m->n_latents * sizeof *latents);
    linear_forward(&m->readout, rates, s->z);
    return link_apply(m->link, rates, m->n_rates);
}

static bool is_collecting(const struct sae_state *s, uint64_t t)
{
    return s->mode == MODE_WINDOW || t < s->m->window_bins;
}

static uint32_t warmup_flag(const struct sae_state *s, uint64_t t)
{
    return t + 1 < s->m->window_bins ? LATENT_WARMUP : 0;
}

static void sae_step(void *state, const float *counts, struct model_out *out)
{
    struct sae_state *s = state;
    const struct sae *m = s->m;
    uint64_t t = (*s->n_bins)++;
    size_t n_steps = 1;
    if (is_collecting(s, t)) {
        size_t n = t + 1 < m->window_bins ? (size_t)t + 1 : m->window_bins;
        window_push(s, t, counts);
        window_encode(s, t + 1 - n, n);             /* z at bin t + 1 - n */
        n_steps = m->first == FIRST_Z0 ? n - 1 : n; /* from there to t */
    }
    for (size_t i = 0; i < n_steps; i++) decoder_step(s);
    out->flags |= outputs_write(s, out->latents, out->rates);
    out->flags |= warmup_flag(s, t);
}

static void sae_predict(void *state, struct model_out *out)
{
    struct sae_state *s = state;
    const struct sae *m = s->m;
    uint64_t t = *s->n_bins;
    if (t == 0) {
        sae_step(s, m->channel_mean ? m->channel_mean : s->zeros, out);
        return;
    }
    decoder_step(s);
    out->flags |= outputs_write(s, out->latents, out->rates);
    if (is_collecting(s, t)) window_push(s, t, sae_feeds_itself(m) ? out->rates : m->channel_mean);
    out->flags |= warmup_flag(s, t);
    *s->n_bins = t + 1;
}

static void sae_trial(void *state, const float *counts, size_t n_bins, struct model_out *out)
{
    struct sae_state *s = state;
    const struct sae *m = s->m;
    size_t n = n_bins < m->window_bins ? n_bins : m->window_bins;
    for (size_t t = 0; t < n; t++) window_push(s, t, counts + t * m->n_channels);
    window_encode(s, 0, n);
    for (size_t t = 0; t < n_bins; t++) {
        if (t || m->first == FIRST_STEP) decoder_step(s);
        out->flags |=
            outputs_write(s, out->latents + t * m->n_latents, out->rates + t * m->n_rates);
    }
}

const struct model_ops sae_ops = {
    .name = "sae",
    .narrow = true,
    .modes = sae_modes,
    .load = sae_load,
    .init = sae_init,
    .reset = sae_reset,
    .step = sae_step,
    .predict = sae_predict,
    .trial = sae_trial,
    .predict_check = sae_predict_check,
};
