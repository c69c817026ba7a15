/* Multi-head self-attention in torch's layout: one token at a time over a cache, or a whole window.
 *
 *   q, k, v = in_proj x + b              rows of D each; head a has columns a D / H .. of them
 *   p_j     = softmax over j of q' k_j / sqrt(D / H)
 *   y      += out_proj [sum_j p_j v_j of each head] + c */
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
    struct panels query;       /* [D, D] */
    struct panels key_value;   /* [2D, D]: keys, then values */
    struct linear out_proj;    /* [D, D] */
};

/* Takes <prefix>.in_proj_weight, .in_proj_bias, .out_proj.weight, .out_proj.bias. */
void attention_load(struct attention *l, struct weights *w, size_t width, size_t heads,
                    const char *prefix);

/* Keys and values of the last n_rows tokens, as a ring. Keys of 16 tokens lie side by
 * side, as the scores of a query are summed; a product reads a few values past a row. */
struct attention_cache {
    size_t n_rows;
    float *keys;   /* [n_rows / 16, D, 16] */
    float *values; /* [n_rows, D], and 16 more */
};

void attention_cache_init(struct attention_cache *c, const struct attention *l, size_t n_rows,
                          struct arena *state);
size_t attention_step_scratch(const struct attention *l, size_t n_rows); /* floats */

/* A token for one step: its number (0, 1, ...) in a cache. */
struct attention_token {
    struct attention_cache *cache;
    size_t t;
};
#define ATTENTION_MAX_TOKENS 2 /* of a step, in as many caches */

/* Tokens with features x [n, D]: remembers each in its cache, lets it attend to itself
 * and those before it, adds the results to y [n, D]. */
void attention_step(const struct attention *l, const struct attention_token *tokens, size_t n,
                    float *y, const float *x, float *scratch);

/* Which rows of a window of n are worked on: queries q_first..n-1; keys and values are computed
 * anew for rows kv_first..n-1 and taken as they are for rows key_first..kv_first-1. */
struct attention_span {
    size_t n, q_first, kv_first, key_first;
};

/* Floats: of qkv for n rows; of scratch for up to n rows. */
size_t attention_rows_qkv(const struct attention *l, size_t n);
size_t attention_rows_scratch(const struct attention *l, size_t n);
/* Tokens x [n, D] of which rows min(q_first, kv_first)..n-1 are read; qkv [n, 3D] holds queries,
 * keys and values from call to call; y [n - q_first, D] += attention of the queries. */
void attention_rows(const struct attention *l, float *y, const float *x, float *qkv,
                    struct attention_span span, struct attention_band band, float *scratch);

#endif
