/* Choice of the kernel table, packing, and the naive twins. */
#include "kernels/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct kernels *chosen = &kernels_plain;

const struct kernels *kernels_at(size_t i)
{
    const struct kernels *usable[3] = {&kernels_plain, NULL, NULL};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        usable[1] = &kernels_avx2;
#endif
    return i < 3 ? usable[i] : NULL;
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

static size_t panel_width(size_t rows, size_t first)
{
    size_t left = rows - first;
    return left >= PANEL_ROWS ? PANEL_ROWS : (left + 7) / 8 * 8;
}

struct panels panels_pack(struct arena *a, size_t rows, size_t cols,
                          const float *weight, const float *bias)
{
    size_t padded = rows / PANEL_ROWS * PANEL_ROWS;
    if (rows % PANEL_ROWS) padded += panel_width(rows, padded);
    float *data = arena_floats(a, padded * cols);
    struct panels w = {.rows = rows, .cols = cols, .data = data, .bias = bias};
    if (!data || !weight) return w;
    for (size_t first = 0; first < rows; first += PANEL_ROWS) {
        size_t width = panel_width(rows, first);
        for (size_t c = 0; c < cols; c++)
            for (size_t r = 0; r < width; r++) {
                size_t row = first + r;
                data[c * width + r] = row < rows ? weight[row * cols + c] : 0.0f;
            }
        data += width * cols;
    }
    return w;
}

size_t nonzero_index(uint32_t *index, const float *x, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        index[count] = (uint32_t)i;
        count += x[i] != 0.0f;
    }
    return count;
}

void naive_matvec(float *y, const float *weight, const float *bias, const float *x,
                  size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        double sum = bias ? (double)bias[r] : 0.0;
        for (size_t c = 0; c < cols; c++)
            sum += (double)weight[r * cols + c] * (double)x[c];
        y[r] = (float)sum;
    }
}

void naive_layer_norm(float *y, const float *x, const float *weight, const float *bias,
                      size_t n)
{
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        y[i] =
            (float)(((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)weight[i] +
                    (double)bias[i]);
}
