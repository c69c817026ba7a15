/* Multi-head self-attention in torch's layout: one token at a time over a cache, or a
 * whole window. */
#ifndef LATENT_ATTENTION_H
#define LATENT_ATTENTION_H

#include "layers/layers.h"

/* Query i may read key j iff i - back <= j <= i + forward; forward < 0 and back <= 0:
 * no limit (models.md 1.2). */
struct attention_band {
    long forward, back;
};

struct attention {
    size_t width, heads, head; /* D = H * head */
    size_t head_padded;    /* head rounded up to 8: rows of the cache carry zeros behind
                              each head */
    struct linear in_proj; /* [3D, D]: q, k, v */
    struct linear out_proj; /* [D, D] */
};

/* Takes <prefix>.in_proj_weight, .in_proj_bias, .out_proj.weight, .out_proj.bias. */
void attention_load(struct attention *l, struct weights *w, size_t width, size_t heads,
                    const char *prefix);

/* Keys and values of the last n_rows tokens, as a ring. */
struct attention_cache {
    size_t n_rows;
    float *keys, *values; /* [n_rows, heads * head_padded] */
};

void attention_cache_init(struct attention_cache *c, const struct attention *l,
                          size_t n_rows, struct arena *state);
size_t attention_step_scratch(const struct attention *l, size_t n_rows); /* floats */
/* Token number t (0, 1, ...) with features x [D]: remembers it, attends to it and the
 * tokens before it in the cache, adds the result to y [D]. */
void attention_step(const struct attention *l, struct attention_cache *c, float *y,
                    const float *x, size_t t, float *scratch);

/* Which rows of a window of n are worked on: queries q_first..n-1; keys and values are
 * computed anew for rows kv_first..n-1 and taken as they are for rows
 * key_first..kv_first-1. */
struct attention_span {
    size_t n, q_first, kv_first, key_first;
};

size_t attention_rows_scratch(const struct attention *l,
                              size_t n); /* floats, up to n rows */
/* Tokens x [n, D] of which rows min(q_first, kv_first)..n-1 are read; qkv [n, 3D] holds
 * queries, keys and values from call to call; y [n - q_first, D] += attention of the
 * queries. */
void attention_rows(const struct attention *l, float *y, const float *x, float *qkv,
                    struct attention_span span, struct attention_band band,
                    float *scratch);

#endif
