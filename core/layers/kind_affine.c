/* Numbers of their own for each channel: standardise, affine (a folded batch norm), prelu. */
#include "layers/kinds.h"

struct affine {
    size_t n;
    const float *weight, *offset; /* [W]; prelu has no offset */
};

static void *affine_take(struct kind_load *l, const char *weight, const char *offset)
{
    struct affine a = {.n = l->out->width};
    a.weight = weights_floats(l->w, SHAPE(a.n), "%s.%s", l->name, weight);
    if (offset) a.offset = weights_floats(l->w, SHAPE(a.n), "%s.%s", l->name, offset);
    return arena_copy(l->w->arena, &a, sizeof a);
}

void *standardise_load(struct kind_load *l)
{
    return affine_take(l, "factor", "mean");
}

void standardise_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct affine *a = layer;
    (void)memory;
    (void)due;
    for (size_t i = 0; i < a->n; i++) y[i] = (x[0][i] - a->offset[i]) * a->weight[i];
}

void *affine_load(struct kind_load *l)
{
    return affine_take(l, "weight", "bias");
}

void affine_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct affine *a = layer;
    (void)memory;
    (void)due;
    for (size_t i = 0; i < a->n; i++) y[i] = a->weight[i] * x[0][i] + a->offset[i];
}

void *prelu_load(struct kind_load *l)
{
    return affine_take(l, "slope", NULL);
}

void prelu_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct affine *a = layer;
    (void)memory;
    (void)due;
    for (size_t i = 0; i < a->n; i++) y[i] = x[0][i] < 0.0f ? a->weight[i] * x[0][i] : x[0][i];
}
