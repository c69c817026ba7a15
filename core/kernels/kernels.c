/* Choice of the kernel table, and the naive twins. */
#include "kernels/kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct kernels *chosen = &kernels_plain;

/* What this machine can run, the best last. */
static size_t kernels_usable(const struct kernels *usable[])
{
    size_t n = 0;
    usable[n++] = &kernels_plain;
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx2) usable[n++] = &kernels_avx2;
    if (avx512) usable[n++] = &kernels_avx512;
    if (avx512 && __builtin_cpu_supports("avx512vnni")) usable[n++] = &kernels_avx512vnni;
#elif defined(__aarch64__)
    usable[n++] = &kernels_neon;
#endif
    return n;
}

const struct kernels *kernels_at(size_t i)
{
    const struct kernels *usable[4];
    size_t n = kernels_usable(usable);
    return i < n ? usable[i] : NULL;
}

/* Before main, so that no thread ever sees the choice change. */
__attribute__((constructor)) static void kernels_choose(void)
{
    const char *forced = getenv("LATENT_KERNELS");
    for (size_t i = 0; kernels_at(i); i++) {
        chosen = kernels_at(i);
        if (forced && strcmp(forced, chosen->name) == 0) return;
    }
}

const struct kernels *kernels_get(void)
{
    return chosen;
}

size_t nonzero_index(uint32_t *index, const float *x, size_t n)
{
    return chosen->nonzero(index, x, n);
}

size_t naive_nonzero(uint32_t *index, const float *x, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (x[i] != 0.0f) index[count++] = (uint32_t)i;
    return count;
}

void naive_matvec(float *y, const float *weight, const float *bias, const float *x, size_t rows,
                  size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        double sum = bias ? (double)bias[r] : 0.0;
        for (size_t c = 0; c < cols; c++) sum += (double)weight[r * cols + c] * (double)x[c];
        y[r] = (float)sum;
    }
}

void naive_layer_norm(float *y, const float *x, const float *weight, const float *bias, size_t n)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)weight[i] +
                       (double)bias[i]);
}

void naive_softmax(float *x, size_t n, float scale)
{
    double most = (double)x[0], sum = 0.0;
    for (size_t i = 0; i < n; i++) most = fmax(most, (double)x[i]);
    for (size_t i = 0; i < n; i++) sum += exp(((double)x[i] - most) * (double)scale);
    for (size_t i = 0; i < n; i++) x[i] = (float)(exp(((double)x[i] - most) * (double)scale) / sum);
}
