/* Denormal numbers as zero, for the length of one step: they are slow, and live must equal
 * offline. */
#ifndef LATENT_DENORMALS_H
#define LATENT_DENORMALS_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

typedef unsigned denormals_mode;

static inline denormals_mode denormals_off(void)
{
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
}

static inline void denormals_restore(denormals_mode before)
{
    _mm_setcsr(before);
}

#elif defined(__aarch64__)

typedef uint64_t denormals_mode;

static inline denormals_mode denormals_off(void)
{
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" ::"r"(before | (1ull << 24)));
    return before;
}

static inline void denormals_restore(denormals_mode before)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(before));
}

#else

typedef int denormals_mode;

static inline denormals_mode denormals_off(void)
{
    return 0;
}

static inline void denormals_restore(denormals_mode before)
{
    (void)before;
}

#endif
#endif
