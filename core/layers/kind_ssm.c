/* ssm: a diagonal state-space model of S complex states for each of W channels, discretised when
 * it was exported.
 *
 *   s_n = A_n s_n + B_n x        y = Re(sum over n of C_n s_n) + D x
 *
 * The state is float64: poles lie near 1, and rounding would add up. */
#include <string.h>

#include "layers/kinds.h"

#define MAX_STATES 4096

struct ssm {
    size_t n, n_states;      /* W, S */
    const double *a, *b, *c; /* [W, S, 2]: real and imaginary part */
    const double *d;         /* [W] */
};

struct ssm_memory {
    double *s; /* [W, S, 2] */
};

void *ssm_load(struct kind_load *l)
{
    struct ssm m = {.n = l->out->width};
    m.n_states = (size_t)fields_int(l->keys, "states", 1, MAX_STATES);
    if (l->keys->status) return NULL;
    m.a = weights_doubles(l->w, SHAPE(m.n, m.n_states, 2), "%s.a", l->name);
    m.b = weights_doubles(l->w, SHAPE(m.n, m.n_states, 2), "%s.b", l->name);
    m.c = weights_doubles(l->w, SHAPE(m.n, m.n_states, 2), "%s.c", l->name);
    m.d = weights_doubles(l->w, SHAPE(m.n), "%s.d", l->name);
    return arena_copy(l->w->arena, &m, sizeof m);
}

void *ssm_carve(const void *layer, struct arena *state, struct arena *work)
{
    const struct ssm *l = layer;
    struct ssm_memory m = {.s = arena_doubles(state, l->n * l->n_states * 2)};
    return arena_copy(work, &m, sizeof m);
}

void ssm_reset(const void *layer, void *memory)
{
    const struct ssm *l = layer;
    struct ssm_memory *m = memory;
    memset(m->s, 0, l->n * l->n_states * 2 * sizeof *m->s);
}

void ssm_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct ssm *l = layer;
    struct ssm_memory *m = memory;
    (void)due;
    for (size_t i = 0; i < l->n; i++) {
        double u = (double)x[0][i], sum = l->d[i] * u;
        for (size_t k = i * l->n_states; k < (i + 1) * l->n_states; k++) {
            const double *a = l->a + 2 * k, *b = l->b + 2 * k, *c = l->c + 2 * k;
            double *s = m->s + 2 * k;
            double re = a[0] * s[0] - a[1] * s[1] + b[0] * u;
            double im = a[0] * s[1] + a[1] * s[0] + b[1] * u;
            s[0] = re;
            s[1] = im;
            sum += c[0] * re - c[1] * im;
        }
        y[i] = (float)sum;
    }
}
