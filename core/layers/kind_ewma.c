/* ewma: a running average that forgets.
 *
 *   s_t = decay s_(t-1) + (1 - decay) x_t        s = 0 before the first item
 *   y_t = s_t, or s_t / (1 - decay^(t+1)) where corrected: the average of what came
 *
 * Sums in float64: a slow one adds small numbers to large ones. */
#include <string.h>

#include "layers/kinds.h"

struct ewma {
    size_t n;
    double decay;
    bool corrected;
};

struct ewma_memory {
    double *sum;     /* [W] s */
    double *missing; /* decay^(t+1): the weight of what came before the first item */
};

void *ewma_load(struct kind_load *l)
{
    struct ewma e = {.n = l->out->width};
    e.decay = fields_number(l->keys, "decay", 0.0, 0.999999);
    e.corrected = fields_bool(l->keys, "corrected");
    return arena_copy(l->w->arena, &e, sizeof e);
}

void *ewma_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct ewma *e = layer;
    struct ewma_memory m = {.sum = arena_doubles(state, e->n), .missing = arena_doubles(state, 1)};
    return arena_copy(work, &m, sizeof m);
}

void ewma_reset(const void *layer, void *memory)
{
    const struct ewma *e = layer;
    struct ewma_memory *m = memory;
    memset(m->sum, 0, e->n * sizeof *m->sum);
    *m->missing = 1.0;
}

void ewma_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct ewma *e = layer;
    struct ewma_memory *m = memory;
    (void)due;
    *m->missing *= e->decay;
    double scale = e->corrected ? 1.0 / (1.0 - *m->missing) : 1.0;
    for (size_t i = 0; i < e->n; i++) {
        m->sum[i] = e->decay * m->sum[i] + (1.0 - e->decay) * (double)x[0][i];
        y[i] = (float)(m->sum[i] * scale);
    }
}
