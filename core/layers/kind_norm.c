/* Norms over the width of one item; sums in float64, since a width may be any. */
#include <math.h>

#include "layers/kinds.h"

struct norm_layer {
    size_t n;
    double eps;
    const float *weight, *bias; /* [W] */
};

static void *norm_take(struct kind_load *l, bool weight, bool bias)
{
    struct norm_layer m = {.n = l->out->width};
    m.eps = fields_number(l->keys, "eps", 0.0, 1.0);
    if (weight) m.weight = weights_floats(l->w, SHAPE(m.n), "%s.weight", l->name);
    if (bias) m.bias = weights_floats(l->w, SHAPE(m.n), "%s.bias", l->name);
    return arena_copy(l->w->arena, &m, sizeof m);
}

/* Sum over i of (x[i] - shift)^2. */
static double squares_about(const float *x, size_t n, double shift)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += ((double)x[i] - shift) * ((double)x[i] - shift);
    return sum;
}

void *layer_norm_load(struct kind_load *l)
{
    return norm_take(l, true, true);
}

void layer_norm_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct norm_layer *m = layer;
    double mean = 0.0;
    (void)memory;
    (void)due;
    for (size_t i = 0; i < m->n; i++) mean += (double)x[0][i];
    mean /= (double)m->n;
    double scale = 1.0 / sqrt(squares_about(x[0], m->n, mean) / (double)m->n + m->eps);
    for (size_t i = 0; i < m->n; i++)
        y[i] = (float)(((double)x[0][i] - mean) * scale) * m->weight[i] + m->bias[i];
}

void *rms_norm_load(struct kind_load *l)
{
    return norm_take(l, true, false);
}

void rms_norm_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct norm_layer *m = layer;
    (void)memory;
    (void)due;
    double scale = 1.0 / sqrt(squares_about(x[0], m->n, 0.0) / (double)m->n + m->eps);
    for (size_t i = 0; i < m->n; i++) y[i] = (float)((double)x[0][i] * scale) * m->weight[i];
}

void *l2_norm_load(struct kind_load *l)
{
    return norm_take(l, false, false);
}

void l2_norm_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct norm_layer *m = layer;
    (void)memory;
    (void)due;
    double scale = 1.0 / fmax(sqrt(squares_about(x[0], m->n, 0.0)), m->eps);
    for (size_t i = 0; i < m->n; i++) y[i] = (float)((double)x[0][i] * scale);
}
