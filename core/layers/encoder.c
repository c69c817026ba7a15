/* A transformer encoder layer, with F(x) = W2 relu(W1 x + b1) + b2 and attention A:
 *
 *   pre-norm    h = h + A(LN1 h)      h = h + F(LN2 h)
 *   post-norm   h = LN1(h + A h)      h = LN2(h + F h) */
#include "layers/encoder.h"

#include <stdio.h>
#include <string.h>

void encoder_layer_load(struct encoder_layer *l, struct weights *w, const char *prefix,
                        size_t width, size_t heads, size_t hidden, bool pre_norm)
{
    char name[128];
    l->pre_norm = pre_norm;
    l->width = width;
    l->hidden = hidden;
    snprintf(name, sizeof name, "%s.self_attn", prefix);
    attention_load(&l->attention, w, width, heads, name);
    snprintf(name, sizeof name, "%s.norm1", prefix);
    norm_load(&l->norm1, w, width, name);
    snprintf(name, sizeof name, "%s.norm2", prefix);
    norm_load(&l->norm2, w, width, name);
    snprintf(name, sizeof name, "%s.linear1", prefix);
    linear_load(&l->linear1, w, hidden, width, name);
    snprintf(name, sizeof name, "%s.linear2", prefix);
    linear_load(&l->linear2, w, width, hidden, name);
}

size_t encoder_step_scratch(const struct encoder_layer *l, size_t n_rows)
{
    return attention_step_scratch(&l->attention, n_rows);
}

size_t encoder_rows_scratch(const struct encoder_layer *l, size_t n)
{
    return attention_rows_scratch(&l->attention, n);
}

static void norm_rows(const struct norm *l, float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) norm_forward(l, y + i * l->width, x + i * l->width);
}

void encoder_layer_step(const struct encoder_layer *l, const struct attention_token *tokens,
                        size_t n, float *h, struct encoder_scratch scratch)
{
    float *x = l->pre_norm ? scratch.normed : h;

    if (l->pre_norm) norm_rows(&l->norm1, x, h, n);                /* x [n, D] = LN1 h */
    attention_step(&l->attention, tokens, n, h, x, scratch.other); /* h += A x */
    norm_rows(l->pre_norm ? &l->norm2 : &l->norm1, x, h, n);       /* x = LN2 h; post: h = LN1 h */
    linear_rows_then(&l->linear1, scratch.forward, x, n, PRODUCT_RELU); /* [n, F] */
    linear_rows_then(&l->linear2, h, scratch.forward, n, PRODUCT_ADD);  /* h [n, D] += F x */
    if (!l->pre_norm) norm_rows(&l->norm2, h, h, n);                    /* h = LN2 h */
}

void encoder_layer_rows(const struct encoder_layer *l, float *y, const float *h, float *qkv,
                        struct attention_span span, struct attention_band band,
                        struct encoder_scratch scratch)
{
    size_t d = l->width, n_q = span.n - span.q_first;
    size_t read = span.q_first < span.kv_first ? span.q_first : span.kv_first; /* first row read */
    const float *x = h;

    if (l->pre_norm) {
        norm_rows(&l->norm1, scratch.normed + read * d, h + read * d, span.n - read);
        x = scratch.normed;
    }
    y += span.q_first * d; /* [n_q, D], the residual: rows q_first .. of h */
    if (y != h + span.q_first * d) memcpy(y, h + span.q_first * d, n_q * d * sizeof *y);
    attention_rows(&l->attention, y, x, qkv, span, band, scratch.other); /* y += A x */
    float *between = l->pre_norm ? scratch.normed : y;
    norm_rows(l->pre_norm ? &l->norm2 : &l->norm1, between, y, n_q);
    linear_rows_then(&l->linear1, scratch.forward, between, n_q, PRODUCT_RELU); /* [n_q, F] */
    linear_rows_then(&l->linear2, y, scratch.forward, n_q, PRODUCT_ADD);        /* y += F(.) */
    if (!l->pre_norm) norm_rows(&l->norm2, y, y, n_q);
}
