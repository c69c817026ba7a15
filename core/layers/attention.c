/* Self-attention over a cache and over windows. */
#include "layers/attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/blas.h"

void attention_load(struct attention *l, struct weights *w, size_t width, size_t heads,
                    const char *prefix)
{
    char weight_name[160], bias_name[160];
    l->width = width;
    l->heads = heads;
    l->head = width / heads;
    l->head_padded = (l->head + 7) / 8 * 8;
    snprintf(weight_name, sizeof weight_name, "%s.in_proj_weight", prefix);
    snprintf(bias_name, sizeof bias_name, "%s.in_proj_bias", prefix);
    linear_load_named(&l->in_proj, w, 3 * width, width, weight_name, bias_name);
    snprintf(weight_name, sizeof weight_name, "%s.out_proj", prefix);
    linear_load(&l->out_proj, w, width, width, weight_name);
}

/* Softmax of x[0..n) times scale, in place. */
static void softmax(float *x, size_t n, float scale)
{
    float most = x[0], sum = 0.0f;
    for (size_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i++) x[i] = (x[i] - most) * scale;
    kernels_get()->exp(x, n);
    for (size_t i = 0; i < n; i++) sum += x[i];
    for (size_t i = 0; i < n; i++) x[i] /= sum;
}

static float head_scale(const struct attention *l)
{
    return 1.0f / sqrtf((float)l->head);
}

static size_t cache_stride(const struct attention *l)
{
    return l->heads * l->head_padded;
}

void attention_cache_init(struct attention_cache *c, const struct attention *l,
                          size_t n_rows, struct arena *state)
{
    c->n_rows = n_rows;
    c->keys = arena_floats(state, n_rows * cache_stride(l));
    c->values = arena_floats(state, n_rows * cache_stride(l));
}

size_t attention_step_scratch(const struct attention *l, size_t n_rows)
{
    return 3 * l->width + 2 * cache_stride(l) + n_rows;
}

/* [D] to [H, head_padded]. */
static void heads_pad(const struct attention *l, float *padded, const float *x)
{
    for (size_t h = 0; h < l->heads; h++) {
        float *to = padded + h * l->head_padded;
        memcpy(to, x + h * l->head, l->head * sizeof *to);
        memset(to + l->head, 0, (l->head_padded - l->head) * sizeof *to);
    }
}

static void heads_unpad(const struct attention *l, float *x, const float *padded)
{
    for (size_t h = 0; h < l->heads; h++)
        memcpy(x + h * l->head, padded + h * l->head_padded, l->head * sizeof *x);
}

void attention_step(const struct attention *l, struct attention_cache *c, float *y,
                    const float *x, size_t t, float *scratch)
{
    const struct kernels *k = kernels_get();
    size_t stride = cache_stride(l), row = t % c->n_rows;
    size_t n = t + 1 < c->n_rows ? t + 1 : c->n_rows;
    float *qkv = scratch;            /* [3D] */
    float *q = qkv + 3 * l->width;   /* [H, head_padded] */
    float *mixed = q + stride;       /* [H, head_padded] */
    float *weights = mixed + stride; /* [n_rows] */

    linear_forward(&l->in_proj, qkv, x);
    heads_pad(l, q, qkv);
    heads_pad(l, c->keys + row * stride, qkv + l->width);
    heads_pad(l, c->values + row * stride, qkv + 2 * l->width);
    for (size_t h = 0; h < l->heads; h++) {
        size_t at = h * l->head_padded;
        k->dots(weights, q + at, l->head_padded, c->keys + at, stride, n);
        softmax(weights, n, head_scale(l));
        k->weighted_rows(mixed + at, l->head_padded, c->values + at, stride, weights,
                         n);
    }
    heads_unpad(l, qkv, mixed);
    linear_forward_add(&l->out_proj, y, qkv);
}

size_t attention_rows_scratch(const struct attention *l, size_t n)
{
    return n * (n + 2 * l->width); /* scores, mixed values, output */
}

/* Softmax of each query's scores inside its band, zeros outside. scores [n_q, n_keys]
 */
static void band_softmax(float *scores, struct attention_span span,
                         struct attention_band band, float scale)
{
    size_t n_keys = span.n - span.key_first;
    for (size_t i = span.q_first; i < span.n; i++) {
        float *row = scores + (i - span.q_first) * n_keys;
        size_t low = band.back > 0 && i > (size_t)band.back ? i - (size_t)band.back : 0;
        size_t high = band.forward < 0 ? span.n - 1 : i + (size_t)band.forward;
        if (high > span.n - 1) high = span.n - 1;
        low = low > span.key_first ? low - span.key_first : 0;
        high -= span.key_first;
        memset(row, 0, low * sizeof *row);
        softmax(row + low, high - low + 1, scale);
        memset(row + high + 1, 0, (n_keys - 1 - high) * sizeof *row);
    }
}

/* Queries, keys and values of the rows that the span names. */
static void project(const struct attention *l, float *qkv, const float *x,
                    struct attention_span span)
{
    size_t d = l->width, n_q = span.n - span.q_first, n_kv = span.n - span.kv_first;
    const float *weight = l->in_proj.weight, *bias = l->in_proj.bias;
    float *q = qkv + span.q_first * 3 * d, *kv = qkv + span.kv_first * 3 * d + d;
    blas_matmul_transposed(q, 3 * d, x + span.q_first * d, d, weight, d, n_q, d, d);
    blas_matmul_transposed(kv, 3 * d, x + span.kv_first * d, d, weight + d * d, d, n_kv,
                           2 * d, d);
    for (size_t i = 0; i < n_q; i++) add(q + i * 3 * d, bias, d);
    for (size_t i = 0; i < n_kv; i++) add(kv + i * 3 * d, bias + d, 2 * d);
}

void attention_rows(const struct attention *l, float *y, const float *x, float *qkv,
                    struct attention_span span, struct attention_band band,
                    float *scratch)
{
    size_t d = l->width, n_q = span.n - span.q_first, n_keys = span.n - span.key_first;
    float *scores = scratch;              /* [n_q, n_keys] */
    float *mixed = scores + n_q * n_keys; /* [n_q, D] */
    float *out = mixed + n_q * d;         /* [n_q, D] */

    project(l, qkv, x, span);
    for (size_t h = 0; h < l->heads; h++) {
        const float *q = qkv + span.q_first * 3 * d + h * l->head;
        const float *keys = qkv + span.key_first * 3 * d + d + h * l->head,
                    *values = keys + d;
        blas_matmul_transposed(scores, n_keys, q, 3 * d, keys, 3 * d, n_q, n_keys,
                               l->head);
        band_softmax(scores, span, band, head_scale(l));
        blas_matmul(mixed + h * l->head, d, scores, n_keys, values, 3 * d, n_q, l->head,
                    n_keys);
    }
    linear_rows_add(&l->out_proj, y, mixed, n_q, out);
}
