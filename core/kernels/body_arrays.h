/* What is done to every bin and frame: checks, scaling, the search for spikes. Part of
 * kernels_body.h. */
#ifndef LATENT_BODY_ARRAYS_H
#define LATENT_BODY_ARRAYS_H

INLINE vec vec_load_some(const float *p, size_t left)
{
    return left < LANES ? vec_load_part(p, left) : vec_load(p);
}

static bool finite_array(const float *x, size_t n)
{
    vec zero = {0}; /* what is not finite, less itself, is NaN */
    for (size_t i = 0; i < n; i += LANES) {
        vec v = vec_load_some(x + i, n - i);
        zero += v - v;
    }
    return lanes_all(zero == zero);
}

static void scale_array(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i += LANES)
        vec_store_part(x + i, vec_load_some(x + i, n - i) * factor, n - i);
}

/* Four at a time: those that are not zero, moved together. What lies behind them is
 * written over by the next four. */
static size_t nonzero_array(uint32_t *index, const float *x, size_t n)
{
    size_t count = 0, i = 0;
#if VECTOR_BYTES >= 32
    static const int32_t order[16][4] = {
        {0}, {0},    {1},    {0, 1},    {2},    {0, 2},    {1, 2},    {0, 1, 2},
        {3}, {0, 3}, {1, 3}, {0, 1, 3}, {2, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3},
    };
    const __m128i four = _mm_set1_epi32(4);
    __m128i at = _mm_setr_epi32(0, 1, 2, 3);
    for (; i + 4 <= n; i += 4, at = _mm_add_epi32(at, four)) {
        __m128 used = _mm_cmpneq_ps(_mm_loadu_ps(x + i), _mm_setzero_ps());
        unsigned mask = (unsigned)_mm_movemask_ps(used);
        __m128i chosen = _mm_loadu_si128((const void *)order[mask]);
        __m128 found = _mm_permutevar_ps(_mm_castsi128_ps(at), chosen);
        _mm_storeu_ps((void *)(index + count), found);
        count += (unsigned)__builtin_popcount(mask);
    }
#endif
    for (; i < n; i++) {
        index[count] = (uint32_t)i;
        count += x[i] != 0.0f;
    }
    return count;
}

#endif
