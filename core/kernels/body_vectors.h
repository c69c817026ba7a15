/* Vectors of VECTOR_BYTES: loading, storing, selecting, and the one operation that needs a name
 * per instruction set. Part of kernels_body.h. */
#ifndef LATENT_BODY_VECTORS_H
#define LATENT_BODY_VECTORS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define LANES (VECTOR_BYTES / 4)
#define WIDE (KERNEL_LANES / LANES) /* vectors of a dot product's partial sums */
#define QUAD 4                      /* floats of the shortest vectors */
#define UNIT_VECTORS (PANEL_UNIT / LANES)

typedef float vec __attribute__((vector_size(VECTOR_BYTES)));
typedef float vec_any __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef float quad __attribute__((vector_size(4 * QUAD)));
typedef float quad_any __attribute__((vector_size(4 * QUAD), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t ivec_any __attribute__((vector_size(VECTOR_BYTES), aligned(2), may_alias));
typedef int16_t pairs __attribute__((vector_size(VECTOR_BYTES)));
typedef int8_t bytes_any __attribute__((vector_size(VECTOR_BYTES / 2), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec vec_load(const float *p)
{
    return *(const vec_any *)p;
}

INLINE void vec_store(float *p, vec v)
{
    *(vec_any *)p = v;
}

INLINE quad quad_load(const float *p)
{
    return *(const quad_any *)p;
}

INLINE void quad_store(float *p, quad v)
{
    *(quad_any *)p = v;
}

INLINE vec vec_set(float x)
{
    return x - (vec){0};
}

/* All ones in the first n lanes. */
INLINE ivec lanes_below(size_t n)
{
    ivec lane = {0};
    for (int i = 0; i < LANES; i++) lane[i] = i;
    return lane < (ivec){0} + (int32_t)(n < LANES ? n : LANES);
}

#define LANES_MASK(n) ((__mmask16)((n) < LANES ? (1u << (n)) - 1 : 0xffff))

INLINE vec vec_select(ivec mask, vec yes, vec no)
{
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

/* x within [least, most]; NaN stays NaN. */
INLINE vec vec_clamp(vec x, float least, float most)
{
#if VECTOR_BYTES == 64
    __m512 low = _mm512_min_ps(_mm512_set1_ps(most), (__m512)x);
    return (vec)_mm512_max_ps(_mm512_set1_ps(least), low);
#elif VECTOR_BYTES == 32
    __m256 low = _mm256_min_ps(_mm256_set1_ps(most), (__m256)x);
    return (vec)_mm256_max_ps(_mm256_set1_ps(least), low);
#else
    vec low = vec_select(x > vec_set(most), vec_set(most), x);
    return vec_select(low < vec_set(least), vec_set(least), low);
#endif
}

/* The first n floats of p, zeros behind them; no more is read. */
INLINE vec vec_load_part(const float *p, size_t n)
{
#if VECTOR_BYTES == 64
    return (vec)_mm512_maskz_loadu_ps(LANES_MASK(n), p);
#elif VECTOR_BYTES == 32
    return (vec)_mm256_maskload_ps(p, (__m256i)lanes_below(n));
#else
    float t[LANES];
    for (size_t i = 0; i < LANES; i++) t[i] = i < n ? p[i] : 0.0f;
    return vec_load(t);
#endif
}

/* The first n lanes. AVX2's masked store is slow on some processors. */
INLINE void vec_store_part(float *p, vec v, size_t n)
{
#if VECTOR_BYTES == 64
    _mm512_mask_storeu_ps(p, LANES_MASK(n), (__m512)v);
#else
    float t[LANES];
    size_t at = 0;
    if (n >= LANES) {
        vec_store(p, v);
        return;
    }
    vec_store(t, v);
    for (size_t part = LANES / 2; part; part /= 2)
        if (n & part) {
            memcpy(p + at, t + at, part * sizeof *p);
            at += part;
        }
#endif
}

/* Is every lane of a mask set? */
INLINE bool lanes_all(ivec mask)
{
    int32_t all = -1;
    for (int i = 0; i < LANES; i++) all &= mask[i];
    return all;
}

/* Bytes widened to 16 bits. Named instructions read them straight from memory, which
 * takes half the time. */
INLINE pairs pairs_load(const int8_t *p)
{
#if VECTOR_BYTES == 64
    return (pairs)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)p));
#elif VECTOR_BYTES == 32
    return (pairs)_mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)p));
#else
    return __builtin_convertvector(*(const bytes_any *)p, pairs);
#endif
}

/* sum + a0 b0 + a1 b1 of each pair of 16-bit numbers; exact while the sum fits. */
INLINE ivec pairs_multiply_add(ivec sum, pairs a, pairs b)
{
#if VECTOR_BYTES == 64 && defined(__AVX512VNNI__)
    return (ivec)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif VECTOR_BYTES == 64
    return sum + (ivec)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif VECTOR_BYTES == 32
    return sum + (ivec)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return sum + (ivec)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(KERNELS_NEON)
    int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
    int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
    return sum + (ivec)vpaddq_s32(low, vmull_high_s16(x, y));
#else
    ivec x = (ivec)a, y = (ivec)b;
    return sum + (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}

#endif
