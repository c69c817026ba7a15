/* Dot products, softmax, layer norm and the functions of a number. Part of kernels_body.h. */
#ifndef LATENT_BODY_FUNCTIONS_H
#define LATENT_BODY_FUNCTIONS_H

/* The 16 partial sums, added in halves: the same tree whatever the vectors' width. */
INLINE float lanes_sum(const vec *acc)
{
    vec s[WIDE];
    union {
        vec all;
        quad parts[LANES / QUAD];
    } t;
    for (int v = 0; v < WIDE; v++) s[v] = acc[v];
    for (int half = WIDE / 2; half; half /= 2)
        for (int v = 0; v < half; v++) s[v] += s[v + half];
    t.all = s[0];
    for (int half = LANES / QUAD / 2; half; half /= 2)
        for (int i = 0; i < half; i++) t.parts[i] += t.parts[i + half];
    quad q = t.parts[0];
    return (q[0] + q[2]) + (q[1] + q[3]);
}

INLINE float dot(const float *a, const float *b, size_t n)
{
    vec acc[WIDE];
    size_t i = 0;
    for (int v = 0; v < WIDE; v++) acc[v] = (vec){0};
    for (; i + KERNEL_LANES <= n; i += KERNEL_LANES)
        for (int v = 0; v < WIDE; v++)
            acc[v] += vec_load(a + i + v * LANES) * vec_load(b + i + v * LANES);
    for (int v = 0; v < WIDE && i < n; v++, i += LANES)
        acc[v] += vec_load_part(a + i, n - i) * vec_load_part(b + i, n - i);
    return lanes_sum(acc);
}

static void dots(float *y, const float *x, size_t n, const float *rows, size_t stride,
                 size_t n_rows)
{
    for (size_t j = 0; j < n_rows; j++) y[j] = dot(x, rows + j * stride, n);
}

struct moments {
    float sum, squares;
};

/* Sums over i of x[i] - shift and of its square. */
INLINE struct moments moments_about(const float *x, size_t n, float shift)
{
    vec sum[WIDE], squares[WIDE];
    size_t i = 0;
    for (int v = 0; v < WIDE; v++) sum[v] = squares[v] = (vec){0};
    for (; i + KERNEL_LANES <= n; i += KERNEL_LANES)
        for (int v = 0; v < WIDE; v++) {
            vec d = vec_load(x + i + v * LANES) - shift;
            sum[v] += d;
            squares[v] += d * d;
        }
    for (int v = 0; v < WIDE && i < n; v++, i += LANES) {
        vec d = vec_load_part(x + i, n - i) - shift;
        d = vec_select(lanes_below(n - i), d, vec_set(0.0f));
        sum[v] += d;
        squares[v] += d * d;
    }
    return (struct moments){lanes_sum(sum), lanes_sum(squares)};
}

/* The moments about a rough mean correct it: the variance loses nothing to cancellation. */
static void layer_norm(float *y, const float *x, const float *weight, const float *bias, size_t n)
{
    float rough = moments_about(x, n, 0.0f).sum / (float)n;
    struct moments about = moments_about(x, n, rough);
    float rest = about.sum / (float)n, mean = rough + rest;
    float variance = about.squares / (float)n - rest * rest;
    float scale = 1.0f / sqrtf(variance + 1e-5f);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec v = (vec_load(x + i) - mean) * scale;
        vec_store(y + i, v * vec_load(weight + i) + vec_load(bias + i));
    }
    if (i == n) return;
    vec v = (vec_load_part(x + i, n - i) - mean) * scale;
    v = v * vec_load_part(weight + i, n - i) + vec_load_part(bias + i, n - i);
    vec_store_part(y + i, v, n - i);
}

/* x / ln 2 to the nearest whole number k, which adding 1.5 * 2^23 leaves in the low
 * bits of *k_bits. |x| is at most 105. */
INLINE vec exp_steps(vec x, ivec *k_bits)
{
    const vec shift = vec_set(12582912.0f);
    vec shifted = x * 1.44269504088896341f + shift;
    *k_bits = (ivec)shifted;
    return shifted - shift;
}

/* x - k ln 2 */
INLINE vec exp_reduce(vec x, vec k)
{
    return x - k * 0.693359375f - k * -2.12194440e-4f;
}

/* e^r - 1 for |r| <= ln 2 / 2: r + r^2 p(r), p of degree 4 with the smallest largest
 * error of e^r (3.1e-9 of it), in pairs of terms, so that few wait for one another. */
INLINE vec exp_less_one(vec r)
{
    vec r2 = r * r;
    vec high = 8.368745446e-3f * r + 4.166838899e-2f;
    vec low = 1.666652113e-1f * r + 4.999999404e-1f;
    return ((1.381454058e-3f * r2 + high) * r2 + low) * r2 + r;
}

/* 2^k for k from -126; 128 gives infinity. */
INLINE vec exp_scale(ivec k_bits)
{
    return (vec)((k_bits << 23) + (127 << 23));
}

/* Beyond float range: infinity or zero; NaN stays NaN. */
INLINE vec vec_exp(vec x)
{
    ivec k_bits, below = x < vec_set(-87.3365f);
    vec c = vec_clamp(x, -88.0f, 89.0f);
    vec r = exp_reduce(c, exp_steps(c, &k_bits));
    /* 2^k in two steps, since k may be 128. */
    ivec k = k_bits - 0x4b400000, k1 = k >> 1, k2 = k - k1;
    vec y = (exp_less_one(r) + 1.0f) * exp_scale(k1) * exp_scale(k2);
    return vec_select(below, vec_set(0.0f), y);
}

/* Largest of x[0..n), n above 0. */
static float largest(const float *x, size_t n)
{
    vec most = vec_set(x[0]);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec v = vec_load(x + i);
        most = vec_select(v > most, v, most);
    }
    vec v = vec_select(lanes_below(n - i), vec_load_part(x + i, n - i), most);
    float t[LANES];
    vec_store(t, vec_select(v > most, v, most));
    for (size_t k = 1; k < LANES; k++) t[0] = t[k] > t[0] ? t[k] : t[0];
    return t[0];
}

static void softmax(float *x, size_t n, float scale)
{
    float most = largest(x, n);
    vec acc[WIDE] = {0};
    size_t i = 0;
    for (; i + KERNEL_LANES <= n; i += KERNEL_LANES)
        for (int v = 0; v < WIDE; v++) {
            float *at = x + i + v * LANES;
            vec e = vec_exp((vec_load(at) - most) * scale);
            vec_store(at, e);
            acc[v] += e;
        }
    for (int v = 0; v < WIDE && i < n; v++, i += LANES) {
        vec e = vec_exp((vec_load_part(x + i, n - i) - most) * scale);
        e = vec_select(lanes_below(n - i), e, vec_set(0.0f));
        vec_store_part(x + i, e, n - i);
        acc[v] += e;
    }
    float inverse = 1.0f / lanes_sum(acc);
    for (i = 0; i < n; i++) x[i] *= inverse;
}

/* Zero where e^-x is beyond float range. */
INLINE vec vec_sigmoid(vec x)
{
    ivec k_bits;
    vec c = vec_clamp(x, -89.0f, 87.0f);
    vec r = exp_reduce(-c, exp_steps(-c, &k_bits));
    return 1.0f / ((exp_less_one(r) + 1.0f) * exp_scale(k_bits) + 1.0f);
}

/* m / (m + 2) with m = e^2x - 1 = 2^k (e^r - 1) + (2^k - 1), which keeps small numbers
 * exact; from 10 on one to the last bit. What the remainder of k ln 2 lacks in digits
 * is too little to be seen. */
INLINE vec vec_tanh(vec x)
{
    ivec k_bits;
    vec c = vec_clamp(x + x, -20.0f, 20.0f);
    vec r = c - exp_steps(c, &k_bits) * 0.69314718f;
    vec scale = exp_scale(k_bits);
    vec m = exp_less_one(r) * scale + (scale - 1.0f);
    return m / (m + 2.0f);
}

#define IN_PLACE(function)                                                                    \
    static void function##_array(float *x, size_t n)                                          \
    {                                                                                         \
        size_t i = 0;                                                                         \
        for (; i + LANES <= n; i += LANES) vec_store(x + i, vec_##function(vec_load(x + i))); \
        if (i < n) vec_store_part(x + i, vec_##function(vec_load_part(x + i, n - i)), n - i); \
    }

IN_PLACE(exp)
IN_PLACE(tanh)
IN_PLACE(sigmoid)

#endif
