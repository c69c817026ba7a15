/* Self-attention over a cache and over windows. */
#include "layers/attention.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Queries whose scores are computed together. */
#define QUERY_BLOCK 6

void attention_load(struct attention *l, struct weights *w, size_t width, size_t heads,
                    const char *prefix)
{
    char name[160];
    l->width = width;
    l->heads = heads;
    l->head = width / heads;
    const float *weight = weights_matrix(w, 3 * width, width, "%s.in_proj_weight", prefix);
    const float *bias = weights_floats(w, SHAPE(3 * width), "%s.in_proj_bias", prefix);
    bool here = weight && bias;
    l->query = panels_load(w, width, width, weight, bias);
    l->key_value = panels_load(w, 2 * width, width, here ? weight + width * width : NULL,
                               here ? bias + width : NULL);
    snprintf(name, sizeof name, "%s.out_proj", prefix);
    linear_load(&l->out_proj, w, width, width, name);
}

/* 1 / sqrt(head): what scores are multiplied by before the softmax. */
static float head_scale(const struct attention *l)
{
    return 1.0f / sqrtf((float)l->head);
}

/* Queries, and keys and values, of n rows x [n, D]; side by side in qkv [n, 3D]. */
static void queries_project(const struct attention *l, float *qkv, const float *x, size_t n)
{
    kernels_get()->matmul(qkv, 3 * l->width, &l->query, x, l->width, n, 0);
}

static void keys_values_project(const struct attention *l, float *qkv, const float *x, size_t n)
{
    kernels_get()->matmul(qkv + l->width, 3 * l->width, &l->key_value, x, l->width, n, 0);
}

/* ---- tokens over a cache ---- */

void attention_cache_init(struct attention_cache *c, const struct attention *l, size_t n_rows,
                          struct arena *state)
{
    c->n_rows = n_rows;
    c->keys = arena_floats(state, panels_padded(n_rows) * l->width);
    c->values = arena_floats(state, n_rows * l->width + PANEL_UNIT);
}

size_t attention_step_scratch(const struct attention *l, size_t n_rows)
{
    return ATTENTION_MAX_TOKENS * 4 * l->width + panels_padded(n_rows);
}

static void cache_put(const struct attention *l, struct attention_cache *c, size_t slot,
                      const float *keys, const float *values)
{
    /* key i of the slot: keys[slot / 16][i][slot % 16] */
    float *column = c->keys + slot / PANEL_UNIT * l->width * PANEL_UNIT + slot % PANEL_UNIT;
    for (size_t i = 0; i < l->width; i++) column[i * PANEL_UNIT] = keys[i];
    memcpy(c->values + slot * l->width, values, l->width * sizeof *values);
}

/* mixed [D] = attention of a query [D] over the first n slots. */
static void cache_attend(const struct attention *l, const struct attention_cache *c, size_t n,
                         float *mixed, const float *query, float *weights)
{
    const struct kernels *k = kernels_get();
    for (size_t h = 0; h < l->heads; h++) {
        size_t at = h * l->head;                                /* head h: columns at .. of D */
        struct tiles keys = {.data = c->keys + at * PANEL_UNIT, /* [n, head] */
                             .unit_stride = l->width * PANEL_UNIT,
                             .column_stride = PANEL_UNIT,
                             .n_out = n,
                             .n_in = l->head};
        struct tiles values = {.data = c->values + at, /* [head, n], transposed by its strides */
                               .unit_stride = PANEL_UNIT,
                               .column_stride = l->width,
                               .n_out = l->head,
                               .n_in = n};
        k->product(weights, 0, &keys, query + at, 0, 1);   /* [n] = keys query */
        k->softmax(weights, n, head_scale(l));             /* over the slots */
        k->product(mixed + at, 0, &values, weights, 0, 1); /* [head] = values' weights */
    }
}

void attention_step(const struct attention *l, const struct attention_token *tokens, size_t n,
                    float *y, const float *x, float *scratch)
{
    size_t d = l->width;
    float *qkv = scratch;           /* [n, 3D] */
    float *mixed = qkv + n * 3 * d; /* [n, D] */
    float *weights = mixed + n * d; /* [n_rows] */

    queries_project(l, qkv, x, n);
    keys_values_project(l, qkv, x, n);
    for (size_t i = 0; i < n; i++) {
        const float *row = qkv + i * 3 * d; /* q at 0, k at D, v at 2D */
        struct attention_cache *c = tokens[i].cache;
        size_t t = tokens[i].t, n_seen = t + 1 < c->n_rows ? t + 1 : c->n_rows;
        cache_put(l, c, t % c->n_rows, row + d, row + 2 * d);
        cache_attend(l, c, n_seen, mixed + i * d, row, weights);
    }
    linear_rows_then(&l->out_proj, y, mixed, n, PRODUCT_ADD); /* y [n, D] += W mixed + b */
}

/* ---- windows ---- */

size_t attention_rows_qkv(const struct attention *l, size_t n)
{
    return n * 3 * l->width + PANEL_UNIT; /* a product reads past the last row */
}

size_t attention_rows_scratch(const struct attention *l, size_t n)
{
    size_t padded = panels_padded(n);
    return n * l->width + padded * l->head + QUERY_BLOCK * padded;
}

/* The first and the last key that query i may read. */
static size_t key_low(struct attention_span span, struct attention_band band, size_t i)
{
    size_t low = band.back > 0 && i > (size_t)band.back ? i - (size_t)band.back : 0;
    return low > span.key_first ? low : span.key_first;
}

static size_t key_high(struct attention_span span, struct attention_band band, size_t i)
{
    size_t high = band.forward < 0 ? span.n : i + (size_t)band.forward;
    return high < span.n ? high : span.n - 1;
}

/* Keys [n, .] (row stride 3D) of one head, 16 of them side by side: [n / 16, head, 16]. */
static void keys_turn(float *turned, const struct attention *l, const float *keys, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        float *column = turned + j / PANEL_UNIT * l->head * PANEL_UNIT + j % PANEL_UNIT;
        for (size_t i = 0; i < l->head; i++) column[i * PANEL_UNIT] = keys[j * 3 * l->width + i];
    }
}

/* What the queries of one head see: turned keys from key_first on, values from row 0 on
 * (row stride 3D). */
struct head_view {
    const float *keys, *values;
};

/* mixed [n_q, head] (row stride D) = attention of queries first..first + n_q - 1 (row
 * stride 3D), over those keys that any of them may read. */
static void block_attend(const struct attention *l, struct head_view head, float *mixed,
                         const float *query, size_t first, size_t n_q, struct attention_span span,
                         struct attention_band band, float *scores)
{
    const struct kernels *k = kernels_get();
    /* Keys count from key_first on: the block reads low .. end - 1; whole units begin at base. */
    size_t low = key_low(span, band, first) - span.key_first;
    size_t end = key_high(span, band, first + n_q - 1) + 1 - span.key_first;
    size_t base = low / PANEL_UNIT * PANEL_UNIT, n = end - base;
    size_t stride = panels_padded(n);                        /* of scores [n_q, n] */
    struct tiles keys = {.data = head.keys + base * l->head, /* [n, head]: keys base .. end - 1 */
                         .unit_stride = l->head * PANEL_UNIT,
                         .column_stride = PANEL_UNIT,
                         .n_out = n,
                         .n_in = l->head};
    struct tiles values = {.data = head.values + (span.key_first + low) * 3 * l->width,
                           /* [head, end - low], transposed by its strides */
                           .unit_stride = PANEL_UNIT,
                           .column_stride = 3 * l->width,
                           .n_out = l->head,
                           .n_in = end - low};
    k->product(scores, stride, &keys, query, 3 * l->width, n_q); /* [n_q, n] = q k' */
    for (size_t i = 0; i < n_q; i++) {
        float *row = scores + i * stride;
        size_t from = key_low(span, band, first + i) - span.key_first - base;
        size_t to = key_high(span, band, first + i) + 1 - span.key_first - base;
        memset(row, 0, from * sizeof *row); /* keys before the band of this query */
        k->softmax(row + from, to - from, head_scale(l));
        memset(row + to, 0, (n - to) * sizeof *row); /* and behind it */
    }
    k->product(mixed, l->width, &values, scores + low - base, stride, n_q); /* [n_q, head] */
}

void attention_rows(const struct attention *l, float *y, const float *x, float *qkv,
                    struct attention_span span, struct attention_band band, float *scratch)
{
    size_t d = l->width, n_q = span.n - span.q_first, n_keys = span.n - span.key_first;
    float *mixed = scratch;                                   /* [n_q, D] */
    float *turned = mixed + n_q * d;                          /* [n_keys / 16, head, 16] */
    float *scores = turned + panels_padded(n_keys) * l->head; /* [block, n_keys] */

    queries_project(l, qkv + span.q_first * 3 * d, x + span.q_first * d, n_q);
    keys_values_project(l, qkv + span.kv_first * 3 * d, x + span.kv_first * d,
                        span.n - span.kv_first);
    for (size_t h = 0; h < l->heads; h++) {
        size_t at = h * l->head; /* head h: columns at .. of each of q, k, v */
        struct head_view head = {.keys = turned, .values = qkv + 2 * d + at};
        keys_turn(turned, l, qkv + span.key_first * 3 * d + d + at, n_keys);
        for (size_t i = 0, n; i < n_q; i += n) {
            n = n_q - i < QUERY_BLOCK ? n_q - i : QUERY_BLOCK;
            size_t first = span.q_first + i; /* row of the block's first query */
            block_attend(l, head, mixed + i * d + at, qkv + first * 3 * d + at, first, n, span,
                         band, scores);
        }
    }
    linear_rows_then(&l->out_proj, y, mixed, n_q, PRODUCT_ADD);
}
