/* Neural Data Transformer (Ye & Pandarinath 2021; equations in models/ndt/card.md).
 *
 * One token per bin. Streaming semantics:
 *   A      cached, trial-aligned, causal (context_forward 0): exact; position counts
 * from trial_start. B      trial-aligned with look-ahead (context_forward f > 0): exact
 * on the bins so far, by recomputing the l f + 1 newest rows of layer l; the frame
 * shows the newest bin, which no future bin has revised yet. B-lag  the same, but the
 * frame shows the bin L f back, which is final: equal to the offline model. C sliding
 * window: the newest window_bins bins, newest last, computed anew at each bin. D
 * re-anchored caches (context_forward 0): two caches run, half a trial apart, for
 * streams without trial marks; the answer is that of the offline model on [anchor, t],
 * T/2 to T bins long. trial  offline: a whole trial at once, as published. State: A: 2
 * L min(CB + 1, T) D floats; D: twice that; B: (4 L + 1) T D; C: W D. Multiply-adds per
 * bin in A: L (4 D^2 + 2 D F) + D N and 2 L n D for attention over n bins; D: twice
 * that. predict: the mask convention of training, a bin of zeros. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "layers/encoder.h"
#include "models/model.h"

#define NDT_MAX_LAYERS 32

enum ndt_mode { MODE_A, MODE_B, MODE_B_LAG, MODE_C, MODE_D, MODE_TRIAL };
enum ndt_embed { EMBED_IDENTITY, EMBED_TABLE, EMBED_LINEAR };
enum ndt_final { FINAL_LAYER, FINAL_SCALE };
enum ndt_position { POSITION_LEARNT, POSITION_SINUSOIDAL };

static const struct latent_mode ndt_modes[] = {
    {.name = "A", .aligned = 1, .whole = "trial"},
    {.name = "B", .aligned = 1},
    {.name = "B-lag", .aligned = 1},
    {.name = "C"},
    {.name = "D"},
    {.name = "trial", .offline = 1},
    {0},
};

struct ndt {
    size_t n_channels, width, n_layers, hidden; /* C, D, L, F */
    size_t embed_dim, max_count, trial_bins, window_bins;
    int embed, position, final, head_layers, position_offset;
    bool pre_norm, lograte;
    struct attention_band band;
    const float *table;     /* [max_count + 2, embed_dim] */
    struct linear embedder; /* [D, C] */
    const float *positions; /* [trial_bins, D] */
    struct norm final_norm;
    const float *final_scale; /* scalar */
    struct linear head[2];    /* D -> N, or D -> 16 -> N */
    struct encoder_layer layers[NDT_MAX_LAYERS];
};

/* ---- load ---- */

static void sinusoidal_row(const struct ndt *m, float *row, double p)
{
    for (size_t i = 0; i + 1 < m->width; i += 2) {
        double angle = p * exp(-(double)i * log(10000.0) / (double)m->width);
        row[i] = (float)sin(angle);
        row[i + 1] = (float)cos(angle);
    }
}

static double position_of(const struct ndt *m, size_t t)
{
    return (double)t + (m->position_offset ? 1.0 : 0.0);
}

static void positions_load(struct ndt *m, struct weights *w)
{
    if (m->position == POSITION_LEARNT) {
        m->positions = weights_floats(w, SHAPE(m->trial_bins, m->width),
                                      "pos_encoder.pos_embedding.weight");
        return;
    }
    float *rows = arena_floats(w->arena, m->trial_bins * m->width);
    for (size_t t = 0; rows && t < m->trial_bins; t++)
        sinusoidal_row(m, rows + t * m->width, position_of(m, t));
    m->positions = rows;
}

static void embed_load(struct ndt *m, struct weights *w)
{
    if (m->embed == EMBED_TABLE)
        m->table = weights_floats(w, SHAPE(m->max_count + 2, m->embed_dim),
                                  "embedder.0.weight");
    if (m->embed == EMBED_LINEAR)
        linear_load(&m->embedder, w, m->width, m->n_channels, "embedder");
}

static void layer_load(struct ndt *m, struct weights *w, size_t heads, size_t l)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "transformer_encoder.layers.%zu", l);
    encoder_layer_load(&m->layers[l], w, prefix, m->width, heads, m->hidden,
                       m->pre_norm);
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

static void hyper_read(struct ndt *m, struct config *c, size_t *heads)
{
    static const char *const embeds[] = {"identity", "table", "linear", NULL};
    static const char *const finals[] = {"layer", "scale", NULL};
    static const char *const positions[] = {"learnt", "sinusoidal", NULL};
    m->n_layers = (size_t)config_int(c, "layers", 1, NDT_MAX_LAYERS);
    *heads = (size_t)config_int(c, "heads", 1, 64);
    m->width = (size_t)config_int(c, "width", 1, 65536);
    m->hidden = (size_t)config_int(c, "hidden", 1, 65536);
    m->embed = config_choice(c, "embed", embeds);
    m->embed_dim = (size_t)config_int(c, "embed_dim", 0, 64);
    m->max_count = (size_t)config_int(c, "max_count", m->embed == EMBED_TABLE, 65535);
    m->pre_norm = config_bool(c, "pre_norm");
    m->final = config_choice(c, "final_norm", finals);
    m->position = config_choice(c, "position", positions);
    m->position_offset = config_bool(c, "position_offset");
    m->trial_bins = (size_t)config_int(c, "trial_bins", 1, 65536);
    m->window_bins = (size_t)config_int(c, "window_bins", 1, (long long)m->trial_bins);
    m->band.forward = (long)config_int(c, "context_forward", -1, 65536);
    m->band.back = (long)config_int(c, "context_backward", -1, 65536);
    m->head_layers = (int)config_int(c, "head_layers", 1, 2);
    m->lograte = config_bool(c, "lograte");
}

static int hyper_refuse(struct config *c, const char *text)
{
    return c->status = error_set(c->err, LATENT_E_CONFIG, "%s: %s", c->where, text);
}

/* Hyper-parameters that contradict each other or the channel count. */
static int hyper_check(const struct ndt *m, struct config *c, size_t heads)
{
    size_t expected = m->embed == EMBED_IDENTITY ? m->n_channels
                      : m->embed == EMBED_TABLE  ? m->n_channels * m->embed_dim
                                                 : m->width;
    if (c->status) return c->status;
    if (m->width % heads)
        return hyper_refuse(c, "\"width\" must be a multiple of \"heads\"");
    if (m->width != expected)
        return hyper_refuse(
            c, "\"width\" must be n_channels (identity) or n_channels x embed_dim "
               "(table)");
    if (m->position == POSITION_SINUSOIDAL && m->width % 2)
        return hyper_refuse(c, "sinusoidal positions need an even \"width\"");
    return 0;
}

static void *ndt_load(struct weights *w, struct config *c, struct model_dims *dims)
{
    struct ndt m = {.n_channels = dims->n_channels};
    size_t heads = 1;
    hyper_read(&m, c, &heads);
    if (hyper_check(&m, c, heads)) return NULL;
    embed_load(&m, w);
    positions_load(&m, w);
    for (size_t l = 0; l < m.n_layers; l++) layer_load(&m, w, heads, l);
    head_load(&m, w, m.n_channels);
    dims->n_latents = m.width;
    dims->n_rates = m.n_channels;
    dims->trial_bins = m.trial_bins;
    return arena_copy(w->arena, &m, sizeof m);
}

static const char *ndt_mode_check(const void *model, int mode)
{
    const struct ndt *m = model;
    if ((mode == MODE_A || mode == MODE_D) && m->band.forward != 0)
        return "modes \"A\" and \"D\" need a causal model (context_forward 0): use "
               "\"B\", \"C\" or "
               "\"trial\"";
    if ((mode == MODE_B || mode == MODE_B_LAG) && m->band.forward < 0)
        return "modes \"B\" and \"B-lag\" need a bounded look-ahead (context_forward "
               ">= 0): use \"C\" or "
               "\"trial\"";
    if (mode == MODE_D && m->trial_bins < 2)
        return "mode \"D\" needs trials of at least 2 bins";
    return NULL;
}

/* ---- state ---- */

struct ndt_state {
    const struct ndt *m;
    enum ndt_mode mode;
    uint64_t *n_bins;                                 /* tokens since the reset */
    struct attention_cache caches[2][NDT_MAX_LAYERS]; /* A: the first; D: both */
    float *window;          /* C: [W, D] ring of embedded bins */
    float *rows;            /* B: [L + 1, T, D] outputs of the layers */
    float *qkv;             /* [rows, 3D]; B: [L, T, 3D] */
    float *clipped, *zeros; /* [C] */
    uint32_t *index;        /* [C] */
    float *embedded;        /* [D] */
    float *h;               /* [rows, D] */
    struct encoder_scratch scratch;
};

static bool is_cached(int mode)
{
    return mode == MODE_A || mode == MODE_D;
}

static bool is_look_ahead(int mode)
{
    return mode == MODE_B || mode == MODE_B_LAG;
}

static size_t cache_rows(const struct ndt *m)
{
    bool banded = m->band.back > 0 && (size_t)m->band.back + 1 < m->trial_bins;
    return banded ? (size_t)m->band.back + 1 : m->trial_bins;
}

/* Positions end where no row, or no memory of the past, is left. */
static bool is_past_end(const struct ndt_state *s, uint64_t t)
{
    const struct ndt *m = s->m;
    bool endless =
        m->position == POSITION_SINUSOIDAL && m->band.back > 0 && s->mode == MODE_A;
    return !endless && t >= m->trial_bins;
}

/* What is carried from bin to bin, by mode. */
static void state_carve(struct ndt_state *s, struct arena *state)
{
    const struct ndt *m = s->m;
    size_t row = m->trial_bins * m->width, n_caches = s->mode == MODE_D ? 2 : 1;
    s->n_bins = arena_take(state, sizeof *s->n_bins);
    for (size_t c = 0; is_cached(s->mode) && c < n_caches; c++)
        for (size_t l = 0; l < m->n_layers; l++)
            attention_cache_init(&s->caches[c][l], &m->layers[l].attention,
                                 cache_rows(m), state);
    if (s->mode == MODE_C) s->window = arena_floats(state, m->window_bins * m->width);
    if (!is_look_ahead(s->mode)) return;
    s->rows = arena_floats(state, (m->n_layers + 1) * row);
    s->qkv = arena_floats(state, m->n_layers * 3 * row);
}

static void *ndt_init(const void *model, int mode, struct model_memory *mem)
{
    const struct ndt *m = model;
    const struct encoder_layer *layer = &m->layers[0];
    struct ndt_state s = {.m = m, .mode = (enum ndt_mode)mode};
    size_t rows = is_cached(mode) ? 1 : mode == MODE_C ? m->window_bins : m->trial_bins;
    size_t scratch = is_cached(mode) ? encoder_step_scratch(layer, cache_rows(m))
                                     : encoder_rows_scratch(layer, rows);

    state_carve(&s, mem->state);
    if (mode == MODE_C || mode == MODE_TRIAL)
        s.qkv = arena_floats(mem->work, rows * 3 * m->width);
    s.clipped = arena_floats(mem->work, m->n_channels);
    s.zeros = arena_floats(mem->work, m->n_channels);
    s.index = arena_take(mem->work, m->n_channels * sizeof *s.index);
    s.embedded = arena_floats(mem->work, m->width);
    s.h = arena_floats(mem->work, rows * m->width);
    s.scratch.normed = arena_floats(mem->work, rows * m->width);
    s.scratch.forward = arena_floats(mem->work, rows * m->hidden);
    s.scratch.other = arena_floats(mem->work, scratch);
    return arena_copy(mem->work, &s, sizeof s);
}

static void ndt_reset(void *state)
{
    struct ndt_state *s = state;
    *s->n_bins = 0;
}

/* ---- forward ---- */

/* Counts as the model saw them in training; returns LATENT_INPUT_CLIPPED if any was
 * changed. */
static uint32_t clip(const struct ndt *m, float *clipped, const float *counts)
{
    uint32_t flags = 0;
    for (size_t i = 0; i < m->n_channels; i++) {
        float x = counts[i];
        if (m->max_count) x = fminf(fmaxf(x, 0.0f), (float)m->max_count);
        if (m->embed == EMBED_TABLE) x = rintf(x);
        if (fabsf(x - counts[i]) > 0.5f) flags = LATENT_INPUT_CLIPPED;
        clipped[i] = x;
    }
    return flags;
}

/* e [D] = sqrt(D) * embedding of counts [C] */
static uint32_t embed(struct ndt_state *s, float *e, const float *counts)
{
    const struct ndt *m = s->m;
    const float scale = sqrtf((float)m->width);
    uint32_t flags = clip(m, s->clipped, counts);
    if (m->embed == EMBED_IDENTITY) memcpy(e, s->clipped, m->width * sizeof *e);
    if (m->embed == EMBED_LINEAR)
        kernels_get()->matvec_sparse(
            e, &m->embedder.packed, s->clipped, s->index,
            nonzero_index(s->index, s->clipped, m->n_channels));
    if (m->embed == EMBED_TABLE)
        for (size_t i = 0; i < m->n_channels; i++)
            memcpy(e + i * m->embed_dim,
                   m->table + (size_t)s->clipped[i] * m->embed_dim,
                   m->embed_dim * sizeof *e);
    for (size_t i = 0; i < m->width; i++) e[i] *= scale;
    return flags;
}

static void add_position(struct ndt_state *s, float *h, uint64_t t)
{
    const struct ndt *m = s->m;
    if (t < m->trial_bins) {
        add(h, m->positions + t * m->width, m->width);
        return;
    }
    sinusoidal_row(m, s->scratch.other, position_of(m, t));
    add(h, s->scratch.other, m->width);
}

/* Final norm and decoder head of one row: latents [D], rates [N] in counts per bin. */
static void head(const struct ndt *m, const float *h, float *latents, float *rates)
{
    float hidden[16];
    if (m->final == FINAL_LAYER)
        norm_forward(&m->final_norm, latents, h);
    else {
        double sum = 0.0;
        for (size_t i = 0; i < m->width; i++) sum += (double)h[i] * (double)h[i];
        float scale = *m->final_scale / (float)fmax(sqrt(sum), 1e-5);
        for (size_t i = 0; i < m->width; i++) latents[i] = h[i] * scale;
    }
    if (m->head_layers == 1)
        linear_forward(&m->head[0], rates, latents);
    else {
        linear_forward(&m->head[0], hidden, latents);
        relu(hidden, 16);
        linear_forward(&m->head[1], rates, hidden);
    }
    if (m->lograte)
        kernels_get()->exp(rates, m->n_channels);
    else
        relu(rates, m->n_channels);
}

/* The embedded bin as token number t of one cache: h [D]. */
static void token_step(struct ndt_state *s, struct attention_cache *caches, uint64_t t)
{
    memcpy(s->h, s->embedded, s->m->width * sizeof *s->h);
    add_position(s, s->h, t);
    for (size_t l = 0; l < s->m->n_layers; l++)
        encoder_layer_step(&s->m->layers[l], &caches[l], s->h, t, s->scratch);
}

/* A: one cache since trial_start. */
static void step_cached(struct ndt_state *s, struct model_out *out, uint64_t t)
{
    token_step(s, s->caches[0], t);
    head(s->m, s->h, out->latents, out->rates);
}

/* D: anchors at multiples of half a trial; the younger cache takes the bin, the older
 * one is published. */
static void step_anchored(struct ndt_state *s, struct model_out *out, uint64_t t)
{
    uint64_t half = s->m->trial_bins / 2, anchor = t / half;
    token_step(s, s->caches[anchor % 2], t - anchor * half);
    if (anchor)
        token_step(s, s->caches[(anchor - 1) % 2], t - (anchor - 1) * half);
    else
        out->flags |= LATENT_WARMUP;
    head(s->m, s->h, out->latents, out->rates);
}

static size_t minus(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

/* B: row i of layer l changes when i >= t - l f; its input when i >= t - (l - 1) f. */
static void step_look_ahead(struct ndt_state *s, struct model_out *out, size_t t)
{
    const struct ndt *m = s->m;
    size_t d = m->width, row = m->trial_bins * d, f = (size_t)m->band.forward,
           lag = m->n_layers * f;
    float *h = s->rows;
    memcpy(h + t * d, s->embedded, d * sizeof *h);
    add_position(s, h + t * d, t);
    for (size_t l = 0; l < m->n_layers; l++) {
        size_t q_first = minus(t, (l + 1) * f);
        struct attention_span span = {
            .n = t + 1, .q_first = q_first, .kv_first = minus(t, l * f)};
        if (m->band.back > 0) span.key_first = minus(q_first, (size_t)m->band.back);
        encoder_layer_rows(&m->layers[l], h + row, h, s->qkv + l * 3 * row, span,
                           m->band, s->scratch);
        h += row;
    }
    if (s->mode == MODE_B_LAG && t < lag) out->flags |= LATENT_WARMUP;
    size_t shown = s->mode == MODE_B ? t : minus(t, lag);
    head(m, h + shown * d, out->latents, out->rates);
}

/* One layer over the window h, in place. */
static void layer_rows(struct ndt_state *s, size_t l, struct attention_span span)
{
    encoder_layer_rows(&s->m->layers[l], s->h, s->h, s->qkv, span, s->m->band,
                       s->scratch);
}

/* C: the newest W bins, all rows anew; of the last layer only the newest. */
static void step_window(struct ndt_state *s, struct model_out *out, uint64_t t)
{
    const struct ndt *m = s->m;
    size_t d = m->width, size = m->window_bins, last = m->n_layers - 1;
    size_t n = t + 1 < size ? (size_t)t + 1 : size;
    struct attention_span all = {.n = n}, newest = {.n = n, .q_first = n - 1};

    memcpy(s->window + t % size * d, s->embedded, d * sizeof *s->embedded);
    if (n < size) out->flags |= LATENT_WARMUP;
    for (size_t i = 0; i < n; i++) {
        const float *e = s->window + (t + 1 - n + i) % size * d;
        memcpy(s->h + i * d, e, d * sizeof *e);
        add(s->h + i * d, m->positions + i * d, d);
    }
    for (size_t l = 0; l < last; l++) layer_rows(s, l, all);
    layer_rows(s, last, newest);
    head(m, s->h + (n - 1) * d, out->latents, out->rates);
}

static void ndt_step(void *state, const float *counts, struct model_out *out)
{
    struct ndt_state *s = state;
    uint64_t t = *s->n_bins;
    if (ndt_modes[s->mode].aligned && is_past_end(s, t)) {
        out->flags |= LATENT_OUTSIDE;
        return;
    }
    out->flags |= embed(s, s->embedded, counts);
    switch (s->mode) {
    case MODE_A:
        step_cached(s, out, t);
        break;
    case MODE_B:
    case MODE_B_LAG:
        step_look_ahead(s, out, t);
        break;
    case MODE_C:
        step_window(s, out, t);
        break;
    case MODE_D:
        step_anchored(s, out, t);
        break;
    case MODE_TRIAL:
        break;
    }
    *s->n_bins = t + 1;
}

static void ndt_predict(void *state, struct model_out *out)
{
    struct ndt_state *s = state;
    ndt_step(s, s->zeros, out);
}

static void ndt_trial(void *state, const float *counts, size_t n_bins,
                      struct model_out *out)
{
    struct ndt_state *s = state;
    const struct ndt *m = s->m;
    size_t d = m->width, n = m->n_channels;
    for (size_t t = 0; t < n_bins; t++) {
        out->flags |= embed(s, s->h + t * d, counts + t * n);
        add_position(s, s->h + t * d, t);
    }
    struct attention_span all = {.n = n_bins};
    for (size_t l = 0; l < m->n_layers; l++) layer_rows(s, l, all);
    for (size_t t = 0; t < n_bins; t++)
        head(m, s->h + t * d, out->latents + t * d, out->rates + t * n);
}

const struct model_ops ndt_ops = {
    .name = "ndt",
    .modes = ndt_modes,
    .load = ndt_load,
    .mode_check = ndt_mode_check,
    .init = ndt_init,
    .reset = ndt_reset,
    .step = ndt_step,
    .predict = ndt_predict,
    .trial = ndt_trial,
};
