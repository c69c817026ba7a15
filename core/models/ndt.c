/* Neural Data Transformer (Ye & Pandarinath 2021; equations in models/ndt/card.md).
 *
 * One token per bin. Streaming:
 *
 *   A       cached, trial-aligned, causal (context_forward 0): exact; position counts from
 *           trial_start.
 *   B       trial-aligned with look-ahead (context_forward f > 0): exact on the bins so far, by
 *           recomputing the l f + 1 newest rows of layer l; the frame shows the newest bin, which
 *           no future bin has revised yet.
 *   B-lag   the same, but the frame shows the bin L f back, which is final: equal to the offline
 *           model.
 *   C       sliding window: the newest window_bins bins, newest last, computed anew at each bin.
 *   D       re-anchored caches (context_forward 0): two caches run, half a trial apart, for
 *           streams without trial marks; the answer is that of the offline model on [anchor, t],
 *           T/2 to T bins long.
 *   trial   offline: a whole trial at once, as published.
 *
 * The future of a model that looks ahead is truncated at the newest bin, or (future_zeros P)
 * continued with P bins of zeros, as far as there are positions, keys like any other: in B that
 * makes L f + P + 1 rows of a layer anew, in C they are the last rows of the window. Held-out
 * neurons are columns of zeros behind the channels.
 *
 * Letters: L layers, T bins of a trial, W of a window, D width, F hidden, N rates, CB
 * context_backward.
 * State:
 *   A        2 L min(CB + 1, T) D floats
 *   B, B-lag (4 L + 1) T D
 *   C        W D
 *   D        twice A
 * Multiply-adds per bin in A: L (4 D^2 + 2 D F) + D N, and 2 L n D for attention over n bins; in
 * D twice that.
 * predict: the mask convention of training, a bin of zeros. */
#include <math.h>
#include <string.h>

#include "models/ndt_weights.h"

enum ndt_mode { MODE_A, MODE_B, MODE_B_LAG, MODE_C, MODE_D, MODE_TRIAL };

static const struct latent_mode ndt_modes[] = {
    [MODE_A] = {.name = "A", .aligned = 1, .whole = "trial"},
    [MODE_B] = {.name = "B", .aligned = 1},
    [MODE_B_LAG] = {.name = "B-lag", .aligned = 1},
    [MODE_C] = {.name = "C"},
    [MODE_D] = {.name = "D"},
    [MODE_TRIAL] = {.name = "trial", .offline = 1},
    {0},
};

static const char *ndt_mode_check(const void *model, int mode)
{
    const struct ndt *m = model;
    if ((mode == MODE_A || mode == MODE_D) && m->band.forward != 0)
        return "modes \"A\" and \"D\" need a causal model (context_forward 0): "
               "use \"B\", \"C\" or \"trial\"";
    if ((mode == MODE_B || mode == MODE_B_LAG) && m->band.forward < 0)
        return "modes \"B\" and \"B-lag\" need a bounded look-ahead (context_forward >= 0): "
               "use \"C\" or \"trial\"";
    if (mode == MODE_C && m->future_zeros >= m->window_bins)
        return "mode \"C\" needs a window_bins above future_zeros: it holds both";
    if (mode == MODE_D && m->trial_bins < 2) return "mode \"D\" needs trials of at least 2 bins";
    return NULL;
}

/* ---- state ---- */

struct ndt_state {
    const struct ndt *m;
    enum ndt_mode mode;
    uint64_t *n_bins;                                 /* tokens since the reset */
    struct attention_cache caches[2][NDT_MAX_LAYERS]; /* A: the first; D: both */
    float *window;                                    /* C: [W, D] ring of embedded bins */
    float *rows;                                      /* B: [L + 1, T, D] outputs of the layers */
    float *qkv;                /* [rows, 3D]; B: that of T rows for each layer */
    float *clipped;            /* [N] */
    float *zeros;              /* [C] */
    uint32_t *index;           /* [N] */
    float *embedded, *silence; /* [D]; silence: a bin of zeros */
    float *h;                  /* [rows, D] */
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
    bool endless = m->position == POSITION_SINUSOIDAL && m->band.back > 0 && s->mode == MODE_A;
    return !endless && t >= m->trial_bins;
}

/* What is carried from bin to bin, by mode. */
static void state_carve(struct ndt_state *s, struct arena *state)
{
    const struct ndt *m = s->m;
    size_t row = m->trial_bins * m->width, n_caches = s->mode == MODE_D ? 2 : 1;
    s->n_bins = arena_counts(state, 1);
    for (size_t c = 0; is_cached(s->mode) && c < n_caches; c++)
        for (size_t l = 0; l < m->n_layers; l++)
            attention_cache_init(&s->caches[c][l], &m->layers[l].attention, cache_rows(m), state);
    if (s->mode == MODE_C) s->window = arena_floats(state, m->window_bins * m->width);
    if (!is_look_ahead(s->mode)) return;
    s->rows = arena_floats(state, (m->n_layers + 1) * row);
    s->qkv = arena_floats(state,
                          m->n_layers * attention_rows_qkv(&m->layers[0].attention, m->trial_bins));
}

static void *ndt_init(const void *model, int mode, struct model_memory *mem)
{
    const struct ndt *m = model;
    const struct encoder_layer *layer = &m->layers[0];
    struct ndt_state s = {.m = m, .mode = (enum ndt_mode)mode};
    size_t rows = mode == MODE_A   ? 1
                  : mode == MODE_D ? 2
                  : mode == MODE_C ? m->window_bins
                                   : m->trial_bins;
    size_t scratch = is_cached(mode) ? encoder_step_scratch(layer, cache_rows(m))
                                     : encoder_rows_scratch(layer, rows);

    state_carve(&s, mem->state);
    if (mode == MODE_C || mode == MODE_TRIAL)
        s.qkv = arena_floats(mem->work, attention_rows_qkv(&layer->attention, rows));
    s.clipped = arena_floats(mem->work, m->n_rates);
    s.zeros = arena_floats(mem->work, m->n_channels);
    s.index = arena_take(mem->work, m->n_rates * sizeof *s.index);
    s.embedded = arena_floats(mem->work, m->width);
    s.silence = arena_floats(mem->work, m->width);
    s.h = arena_floats(mem->work, rows * m->width);
    s.scratch.normed = arena_floats(mem->work, rows * m->width);
    s.scratch.forward = arena_floats(mem->work, rows * m->hidden);
    s.scratch.other = arena_floats(mem->work, scratch);
    return arena_copy(mem->work, &s, sizeof s);
}

/* ---- forward ---- */

/* Counts as the model saw them in training; returns LATENT_INPUT_CLIPPED if any was changed. */
static uint32_t counts_clip(const struct ndt *m, float *clipped, const float *counts)
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

/* e [D] = sqrt(D) * embedding of counts [C]; held-out columns stay zero. */
static uint32_t counts_embed(struct ndt_state *s, float *e, const float *counts)
{
    const struct ndt *m = s->m;
    const float scale = sqrtf((float)m->width);
    uint32_t flags = counts_clip(m, s->clipped, counts);
    if (m->embed == EMBED_IDENTITY) memcpy(e, s->clipped, m->width * sizeof *e);
    if (m->embed == EMBED_LINEAR)
        kernels_get()->matvec_sparse(e, &m->embedder.packed, s->clipped, s->index,
                                     nonzero_index(s->index, s->clipped, m->n_rates));
    if (m->embed == EMBED_TABLE)
        for (size_t i = 0; i < m->n_rates; i++)
            memcpy(e + i * m->embed_dim, m->table + (size_t)s->clipped[i] * m->embed_dim,
                   m->embed_dim * sizeof *e);
    for (size_t i = 0; i < m->width; i++) e[i] *= scale;
    return flags;
}

static void ndt_reset(void *state)
{
    struct ndt_state *s = state;
    *s->n_bins = 0;
    counts_embed(s, s->silence, s->zeros);
}

static void position_add(struct ndt_state *s, float *h, uint64_t t)
{
    const struct ndt *m = s->m;
    if (t < m->trial_bins) {
        add(h, m->positions + t * m->width, m->width);
        return;
    }
    ndt_position_row(m, s->scratch.other, t);
    add(h, s->scratch.other, m->width);
}

/* Final norm and decoder head of one row: latents [D], rates [N] in counts per bin. Returns the
 * flags of their link. */
static uint32_t head_forward(const struct ndt *m, const float *h, float *latents, float *rates)
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
    return link_apply(m->link, rates, m->n_rates);
}

/* The embedded bin as token number t[i] of cache which[i], i < n: h [n, D]. Tokens
 * share each read of a weight. */
static void tokens_step(struct ndt_state *s, const size_t *which, const uint64_t *t, size_t n)
{
    size_t d = s->m->width;
    for (size_t i = 0; i < n; i++) {
        memcpy(s->h + i * d, s->embedded, d * sizeof *s->h);
        position_add(s, s->h + i * d, t[i]);
    }
    for (size_t l = 0; l < s->m->n_layers; l++) {
        struct attention_token tokens[ATTENTION_MAX_TOKENS];
        for (size_t i = 0; i < n; i++)
            tokens[i] = (struct attention_token){.cache = &s->caches[which[i]][l], .t = t[i]};
        encoder_layer_step(&s->m->layers[l], tokens, n, s->h, s->scratch);
    }
}

/* A: one cache since trial_start. */
static void cached_step(struct ndt_state *s, struct model_out *out, uint64_t t)
{
    tokens_step(s, (const size_t[]){0}, &t, 1);
    out->flags |= head_forward(s->m, s->h, out->latents, out->rates);
}

/* D: anchors at multiples of half a trial; the younger cache takes the bin, the older
 * one is published. */
static void anchored_step(struct ndt_state *s, struct model_out *out, uint64_t t)
{
    uint64_t half = s->m->trial_bins / 2, anchor = t / half; /* number of the younger cache */
    size_t n = anchor ? 2 : 1;                               /* the first half has one cache */
    uint64_t young = t - anchor * half; /* position there; half more in the older */
    tokens_step(s, (const size_t[]){anchor % 2, (anchor + 1) % 2},
                (const uint64_t[]){young, young + half}, n);
    if (!anchor) out->flags |= LATENT_WARMUP;
    out->flags |= head_forward(s->m, s->h + (n - 1) * s->m->width, out->latents, out->rates);
}

static size_t subtract_to_zero(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

/* The rows behind the newest bin, n of them filled, in a pass of at most n_max: h
 * [n_max, D]. Returns the rows of the pass. */
static size_t silence_append(struct ndt_state *s, float *h, size_t n, size_t n_max)
{
    const struct ndt *m = s->m;
    size_t d = m->width, end = n + m->future_zeros;
    if (end > n_max) end = n_max;
    for (size_t i = n; i < end; i++) {
        memcpy(h + i * d, s->silence, d * sizeof *h);
        position_add(s, h + i * d, i);
    }
    return end;
}

/* B: row i of layer l changes when i >= t - l f; its input when i >= t - (l - 1) f. */
static void look_ahead_step(struct ndt_state *s, struct model_out *out, size_t t)
{
    const struct ndt *m = s->m;
    size_t d = m->width, f = (size_t)m->band.forward, lag = m->n_layers * f; /* D, f, L f */
    size_t layer = m->trial_bins * d; /* floats of a layer's rows [T, D] */
    size_t qkv = attention_rows_qkv(&m->layers[0].attention, m->trial_bins); /* of its [T, 3D] */
    float *h = s->rows; /* rows [T, D] that layer l reads; those it makes lie behind them */
    memcpy(h + t * d, s->embedded, d * sizeof *h);
    position_add(s, h + t * d, t);
    size_t n = silence_append(s, h, t + 1, m->trial_bins);
    for (size_t l = 0; l < m->n_layers; l++) {
        size_t q_first = subtract_to_zero(t, (l + 1) * f); /* first row that changes */
        size_t kv_first = subtract_to_zero(t, l * f);      /* first row of h that did */
        struct attention_span span = {.n = n, .q_first = q_first, .kv_first = kv_first};
        if (m->band.back > 0) span.key_first = subtract_to_zero(q_first, (size_t)m->band.back);
        encoder_layer_rows(&m->layers[l], h + layer, h, s->qkv + l * qkv, span, m->band,
                           s->scratch);
        h += layer;
    }
    if (s->mode == MODE_B_LAG && t < lag) out->flags |= LATENT_WARMUP;
    size_t shown = s->mode == MODE_B ? t : subtract_to_zero(t, lag); /* the newest, or the final */
    out->flags |= head_forward(m, h + shown * d, out->latents, out->rates);
}

/* One layer over the window h, in place. */
static void layer_run(struct ndt_state *s, size_t l, struct attention_span span)
{
    encoder_layer_rows(&s->m->layers[l], s->h, s->h, s->qkv, span, s->m->band, s->scratch);
}

/* C: the newest W - P bins, all rows anew; of the last layer only those from the newest bin on. */
static void window_step(struct ndt_state *s, struct model_out *out, uint64_t t)
{
    const struct ndt *m = s->m;
    size_t d = m->width, size = m->window_bins - m->future_zeros; /* D, W - P */
    size_t n = t + 1 < size ? (size_t)t + 1 : size;               /* bins seen of the window */
    size_t last = m->n_layers - 1;

    memcpy(s->window + t % size * d, s->embedded, d * sizeof *s->embedded);
    if (n < size) out->flags |= LATENT_WARMUP;
    for (size_t i = 0; i < n; i++) {
        const float *e = s->window + (t + 1 - n + i) % size * d; /* bin t + 1 - n + i, in row i */
        memcpy(s->h + i * d, e, d * sizeof *e);
        add(s->h + i * d, m->positions + i * d, d);
    }
    struct attention_span all = {.n = silence_append(s, s->h, n, m->window_bins)},
                          newest = {.n = all.n, .q_first = n - 1};
    for (size_t l = 0; l < last; l++) layer_run(s, l, all);
    layer_run(s, last, newest);
    out->flags |= head_forward(m, s->h + (n - 1) * d, out->latents, out->rates);
}

static void ndt_step(void *state, const float *counts, struct model_out *out)
{
    struct ndt_state *s = state;
    uint64_t t = *s->n_bins;
    if (ndt_modes[s->mode].aligned && is_past_end(s, t)) {
        out->flags |= LATENT_OUTSIDE;
        return;
    }
    out->flags |= counts_embed(s, s->embedded, counts);
    switch (s->mode) {
    case MODE_A:
        cached_step(s, out, t);
        break;
    case MODE_B:
    case MODE_B_LAG:
        look_ahead_step(s, out, t);
        break;
    case MODE_C:
        window_step(s, out, t);
        break;
    case MODE_D:
        anchored_step(s, out, t);
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

static void ndt_trial(void *state, const float *counts, size_t n_bins, struct model_out *out)
{
    struct ndt_state *s = state;
    const struct ndt *m = s->m;
    size_t d = m->width;
    for (size_t t = 0; t < n_bins; t++) {
        out->flags |= counts_embed(s, s->h + t * d, counts + t * m->n_channels);
        position_add(s, s->h + t * d, t);
    }
    struct attention_span all = {.n = silence_append(s, s->h, n_bins, m->trial_bins)};
    for (size_t l = 0; l < m->n_layers; l++) layer_run(s, l, all);
    for (size_t t = 0; t < n_bins; t++)
        out->flags |=
            head_forward(m, s->h + t * d, out->latents + t * d, out->rates + t * m->n_rates);
}

static const char *ndt_counts_check(const void *model)
{
    const struct ndt *m = model;
    return m->embed == EMBED_TABLE ? "it looks counts up in a table"
           : m->max_count          ? "\"max_count\" holds them within its range"
                                   : NULL;
}

const struct model_ops ndt_ops = {
    .name = "ndt",
    .narrow = true,
    .modes = ndt_modes,
    .load = ndt_load,
    .mode_check = ndt_mode_check,
    .init = ndt_init,
    .reset = ndt_reset,
    .step = ndt_step,
    .predict = ndt_predict,
    .trial = ndt_trial,
    .counts_check = ndt_counts_check,
};
