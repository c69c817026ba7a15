/* Functions of one number each, and softmax: no weights, no memory. */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "layers/conv.h"
#include "layers/kinds.h"
#include "layers/layers.h"

struct activation {
    size_t n;
    float parameter;
    activation_fn *apply;
};

void *activation_load(struct kind_load *l)
{
    const struct layer_kind *kind = l->kind;
    struct activation a = {.n = l->out->width, .apply = kind->apply};
    if (kind->parameter)
        a.parameter = (float)fields_number(l->keys, kind->parameter, kind->least, kind->most);
    return arena_copy(l->w->arena, &a, sizeof a);
}

void activation_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct activation *a = layer;
    (void)memory;
    (void)due;
    memcpy(y, x[0], a->n * sizeof *y);
    a->apply(y, a->n, a->parameter);
}

/* What cannot be below zero; a prediction from a mean may be a little. */
static float floor_at_zero(float x)
{
    return x < 0.0f ? 0.0f : x;
}

void sqrt_apply(float *y, size_t n, float p)
{
    (void)p;
    for (size_t i = 0; i < n; i++) y[i] = sqrtf(floor_at_zero(y[i]));
}

void anscombe_apply(float *y, size_t n, float p)
{
    (void)p;
    for (size_t i = 0; i < n; i++) y[i] = 2.0f * sqrtf(floor_at_zero(y[i]) + 0.375f);
}

void log1p_apply(float *y, size_t n, float p)
{
    (void)p;
    for (size_t i = 0; i < n; i++) y[i] = log1pf(floor_at_zero(y[i]));
}

void relu_apply(float *y, size_t n, float p)
{
    (void)p;
    relu(y, n);
}

void leaky_relu_apply(float *y, size_t n, float slope)
{
    for (size_t i = 0; i < n; i++) y[i] = y[i] < 0.0f ? slope * y[i] : y[i];
}

void elu_apply(float *y, size_t n, float alpha)
{
    for (size_t i = 0; i < n; i++) y[i] = y[i] < 0.0f ? alpha * expm1f(y[i]) : y[i];
}

void gelu_apply(float *y, size_t n, float p)
{
    (void)p;
    gelu(y, n);
}

void gelu_tanh_apply(float *y, size_t n, float p)
{
    const float root = 0.797884560802865f; /* sqrt(2 / pi) */
    (void)p;
    for (size_t i = 0; i < n; i++) {
        float x = y[i];
        y[i] = 0.5f * x * (1.0f + tanhf(root * (x + 0.044715f * x * x * x)));
    }
}

void silu_apply(float *y, size_t n, float p)
{
    (void)p;
    for (size_t i = 0; i < n; i++) y[i] = y[i] / (1.0f + expf(-y[i]));
}

void softsign_apply(float *y, size_t n, float p)
{
    (void)p;
    for (size_t i = 0; i < n; i++) y[i] = y[i] / (1.0f + fabsf(y[i]));
}

/* torch's: the line itself from beta x = 20 on. */
void softplus_apply(float *y, size_t n, float beta)
{
    for (size_t i = 0; i < n; i++) {
        float x = beta * y[i];
        if (!(x > 20.0f)) y[i] = log1pf(expf(x)) / beta;
    }
}

void tanh_apply(float *y, size_t n, float p)
{
    (void)p;
    kernels_get()->tanh(y, n);
}

void sigmoid_apply(float *y, size_t n, float p)
{
    (void)p;
    kernels_get()->sigmoid(y, n);
}

void hard_sigmoid_apply(float *y, size_t n, float slope)
{
    for (size_t i = 0; i < n; i++) {
        float x = slope * y[i] + 0.5f;
        y[i] = x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x;
    }
}

void exp_apply(float *y, size_t n, float p)
{
    (void)p;
    kernels_get()->exp(y, n);
}

void softmax_apply(float *y, size_t n, float p)
{
    (void)p;
    kernels_get()->softmax(y, n, 1.0f);
}

void scale_apply(float *y, size_t n, float factor)
{
    kernels_get()->scale(y, n, factor);
}
