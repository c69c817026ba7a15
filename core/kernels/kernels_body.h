/* The kernels, written once in GNU vector types. Included by kernels_<set>.c, which
 * defines VECTOR_BYTES and KERNELS_NAME, and is compiled with that instruction set's
 * options. */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

#define LANES (VECTOR_BYTES / 4)
#define WIDE                                                                           \
    (KERNEL_LANES / LANES) /* vectors that make up the lanes of a dot product */

typedef float vec __attribute__((vector_size(VECTOR_BYTES)));
typedef float vec_any __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(VECTOR_BYTES)));

#define INLINE static inline __attribute__((always_inline))

INLINE vec vec_load(const float *p)
{
    return *(const vec_any *)p;
}

INLINE void vec_store(float *p, vec v)
{
    *(vec_any *)p = v;
}

INLINE vec vec_set(float x)
{
    return x - (vec){0};
}

INLINE vec vec_select(ivec mask, vec yes, vec no)
{
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

/* The first n floats of p, zeros behind them. */
INLINE vec vec_load_part(const float *p, size_t n)
{
    float t[LANES] = {0};
    memcpy(t, p, n * sizeof *p);
    return vec_load(t);
}

INLINE void vec_store_part(float *p, vec v, size_t n)
{
    float t[LANES];
    vec_store(t, v);
    memcpy(p, t, n * sizeof *p);
}

/* acc[0..nv) += sum over columns j of x[j] * column j. nv is a constant after inlining.
 */
INLINE void columns_add(vec *acc, const int nv, const float *data, size_t stride,
                        const float *x, const uint32_t *index, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t j = index ? index[i] : i;
        const float *column = data + j * stride;
        vec xj = vec_set(x[j]);
        for (int v = 0; v < nv; v++) acc[v] += xj * vec_load(column + v * LANES);
    }
}

/* y[0..nv*LANES) of which `valid` are stored: start (bias, old y, or zero) plus the
 * columns. */
INLINE void chunk(const int nv, float *y, size_t valid, const float *bias, int add,
                  const float *data, size_t stride, const float *x,
                  const uint32_t *index, size_t n)
{
    float edge[8 * LANES] = {0};
    vec acc[8];
    int whole = valid == (size_t)nv * LANES;
    if (bias && whole)
        for (int v = 0; v < nv; v++) acc[v] = vec_load(bias + v * LANES);
    else {
        if (bias) memcpy(edge, bias, valid * sizeof *y);
        for (int v = 0; v < nv; v++) acc[v] = vec_load(edge + v * LANES);
    }
    columns_add(acc, nv, data, stride, x, index, n);
    for (int v = 0; v < nv; v++) vec_store(edge + v * LANES, acc[v]);
    if (add)
        for (size_t i = 0; i < valid; i++) y[i] += edge[i];
    else
        memcpy(y, edge, valid * sizeof *y);
}

INLINE void chunk_any(int nv, float *y, size_t valid, const float *bias, int add,
                      const float *data, size_t stride, const float *x,
                      const uint32_t *index, size_t n)
{
    switch (nv) {
    case 1:
        chunk(1, y, valid, bias, add, data, stride, x, index, n);
        break;
    case 2:
        chunk(2, y, valid, bias, add, data, stride, x, index, n);
        break;
    case 3:
        chunk(3, y, valid, bias, add, data, stride, x, index, n);
        break;
    case 4:
        chunk(4, y, valid, bias, add, data, stride, x, index, n);
        break;
    case 5:
        chunk(5, y, valid, bias, add, data, stride, x, index, n);
        break;
    case 6:
        chunk(6, y, valid, bias, add, data, stride, x, index, n);
        break;
    case 7:
        chunk(7, y, valid, bias, add, data, stride, x, index, n);
        break;
    default:
        chunk(8, y, valid, bias, add, data, stride, x, index, n);
        break;
    }
}

/* One panel (at most 64 rows) in chunks of 8 vectors. */
INLINE void panel(float *y, size_t rows, const float *bias, int add, const float *data,
                  size_t width, const float *x, const uint32_t *index, size_t n)
{
    for (size_t r = 0; r < width; r += 8 * LANES) {
        size_t left = width - r;
        int nv = left >= 8 * LANES ? 8 : (int)(left / LANES);
        size_t span = (size_t)nv * LANES;
        size_t valid = rows - r < span ? rows - r : span;
        chunk_any(nv, y + r, valid, bias ? bias + r : NULL, add, data + r, width, x,
                  index, n);
        if (rows <= r + span) break;
    }
}

INLINE void product(float *y, const struct panels *w, const float *x, int add,
                    const uint32_t *index, size_t n)
{
    const float *data = w->data;
    for (size_t r = 0; r < w->rows; r += PANEL_ROWS) {
        size_t rows = w->rows - r < PANEL_ROWS ? w->rows - r : PANEL_ROWS;
        size_t width = (rows + 7) / 8 * 8;
        panel(y + r, rows, w->bias ? w->bias + r : NULL, add, data, width, x, index, n);
        data += width * w->cols;
    }
}

static void matvec(float *y, const struct panels *w, const float *x)
{
    product(y, w, x, 0, NULL, w->cols);
}

static void matvec_add(float *y, const struct panels *w, const float *x)
{
    product(y, w, x, 1, NULL, w->cols);
}

static void matvec_sparse(float *y, const struct panels *w, const float *x,
                          const uint32_t *index, size_t n)
{
    product(y, w, x, 0, index, n);
}

static void weighted_rows(float *y, size_t n, const float *rows, size_t stride,
                          const float *x, size_t n_rows)
{
    for (size_t i = 0; i < n; i += 8 * LANES) {
        int nv = n - i >= 8 * LANES ? 8 : (int)((n - i) / LANES);
        chunk_any(nv, y + i, (size_t)nv * LANES, NULL, 0, rows + i, stride, x, NULL,
                  n_rows);
    }
}

/* The 16 partial sums, added pairwise in a fixed tree. */
INLINE float lanes_sum(const float *t)
{
    float s[KERNEL_LANES];
    memcpy(s, t, sizeof s);
    for (int half = KERNEL_LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}

INLINE float dot(const float *a, const float *b, size_t n)
{
    vec acc[WIDE] = {0};
    float tail_a[KERNEL_LANES] = {0}, tail_b[KERNEL_LANES] = {0}, t[KERNEL_LANES];
    size_t i = 0;
    for (; i + KERNEL_LANES <= n; i += KERNEL_LANES)
        for (int v = 0; v < WIDE; v++)
            acc[v] += vec_load(a + i + v * LANES) * vec_load(b + i + v * LANES);
    memcpy(tail_a, a + i, (n - i) * sizeof *a);
    memcpy(tail_b, b + i, (n - i) * sizeof *b);
    for (int v = 0; v < WIDE; v++) {
        acc[v] += vec_load(tail_a + v * LANES) * vec_load(tail_b + v * LANES);
        vec_store(t + v * LANES, acc[v]);
    }
    return lanes_sum(t);
}

static void dots(float *y, const float *x, size_t n, const float *rows, size_t stride,
                 size_t n_rows)
{
    for (size_t j = 0; j < n_rows; j++) y[j] = dot(x, rows + j * stride, n);
}

/* Sum over i of x[i] - mean, or of its square. */
INLINE float sum_deviation(const float *x, size_t n, float mean, int square)
{
    vec acc[WIDE] = {0};
    float tail[KERNEL_LANES], t[KERNEL_LANES];
    size_t i = 0;
    for (; i + KERNEL_LANES <= n; i += KERNEL_LANES)
        for (int v = 0; v < WIDE; v++) {
            vec d = vec_load(x + i + v * LANES) - mean;
            acc[v] += square ? d * d : d;
        }
    for (size_t k = 0; k < KERNEL_LANES; k++) tail[k] = i + k < n ? x[i + k] : mean;
    for (int v = 0; v < WIDE; v++) {
        vec d = vec_load(tail + v * LANES) - mean;
        acc[v] += square ? d * d : d;
        vec_store(t + v * LANES, acc[v]);
    }
    return lanes_sum(t);
}

static void layer_norm(float *y, const float *x, const float *weight, const float *bias,
                       size_t n)
{
    float mean = sum_deviation(x, n, 0.0f, 0) / (float)n;
    mean += sum_deviation(x, n, mean, 0) / (float)n;
    float variance = sum_deviation(x, n, mean, 1) / (float)n;
    float scale = 1.0f / sqrtf(variance + 1e-5f);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec v = (vec_load(x + i) - mean) * scale;
        vec_store(y + i, v * vec_load(weight + i) + vec_load(bias + i));
    }
    for (; i < n; i++) y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

/* e^x: x = k ln 2 + r, |r| <= ln 2 / 2; e^r by a polynomial of degree 6, then the
 * exponent is added. Beyond float range: infinity or zero; NaN stays NaN. */
INLINE vec vec_exp(vec x)
{
    const vec most = vec_set(88.7228f), least = vec_set(-87.3365f);
    ivec above = x > most, below = x < least;
    vec c = vec_select(above, most, vec_select(below, least, x));
    vec shift =
        vec_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to the nearest integer */
    vec k = (c * 1.44269504088896341f + shift) - shift;
    vec r = c - k * 0.693359375f;
    r = r - k * -2.12194440e-4f;
    vec p = vec_set(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    /* 2^k in two steps, since k may be 128. */
    ivec ki = __builtin_convertvector(vec_select(x == x, k, vec_set(0.0f)), ivec);
    ivec k1 = ki >> 1, k2 = ki - k1;
    vec y = p * (vec)((k1 + 127) << 23) * (vec)((k2 + 127) << 23);
    y = vec_select(above, vec_set(INFINITY), y);
    return vec_select(below, vec_set(0.0f), y);
}

INLINE vec vec_sigmoid(vec x)
{
    return 1.0f / (1.0f + vec_exp(-x));
}

/* tanh: an odd polynomial below 0.625, 1 - 2 / (e^2x + 1) above. */
INLINE vec vec_tanh(vec x)
{
    vec s = x * x;
    vec p = vec_set(-5.70498872745e-3f);
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    vec small = p * s * x + x;
    vec large = 1.0f - 2.0f / (vec_exp(x + x) + 1.0f);
    ivec is_small = (x < vec_set(0.625f)) & (x > vec_set(-0.625f));
    return vec_select(is_small, small, large);
}

#define IN_PLACE(function)                                                             \
    static void function##_array(float *x, size_t n)                                   \
    {                                                                                  \
        size_t i = 0;                                                                  \
        for (; i + LANES <= n; i += LANES)                                             \
            vec_store(x + i, vec_##function(vec_load(x + i)));                         \
        if (i < n)                                                                     \
            vec_store_part(x + i, vec_##function(vec_load_part(x + i, n - i)), n - i); \
    }

IN_PLACE(exp)
IN_PLACE(tanh)
IN_PLACE(sigmoid)

const struct kernels KERNELS_TABLE = {
    .name = KERNELS_NAME,
    .matvec = matvec,
    .matvec_add = matvec_add,
    .matvec_sparse = matvec_sparse,
    .dots = dots,
    .weighted_rows = weighted_rows,
    .layer_norm = layer_norm,
    .exp = exp_array,
    .tanh = tanh_array,
    .sigmoid = sigmoid_array,
};
