/* A two-layer perceptron as a vector field, and explicit Runge-Kutta steps along it. */
#include "layers/ode.h"

#include <string.h>

#define MAX_STAGES 6
/* Up to this many outputs a field is faster than panels, whose sums each wait for the
 * one before. */
#define FEW_OUTPUTS 16
#define FIELD_OUTPUTS 4 /* of which a field computes as many at a time */

static size_t field_padded(size_t n)
{
    return (n + FIELD_OUTPUTS - 1) / FIELD_OUTPUTS * FIELD_OUTPUTS;
}

static struct field field_load(struct weights *w, const struct perceptron *l, const float *w1,
                               const float *b1, const float *w2, const float *b2)
{
    size_t n = field_padded(l->n);
    size_t hidden = panels_padded(l->hidden);
    float *second = arena_floats(w->arena, n * hidden);
    float *bias = arena_floats(w->arena, n);
    for (size_t o = 0; second && w2 && o < l->n; o++)
        memcpy(second + o * hidden, w2 + o * l->hidden, l->hidden * sizeof *w2);
    if (bias && b2) memcpy(bias, b2, l->n * sizeof *b2);
    return (struct field){
        .first = panels_pack(w->arena, l->hidden, l->n, w1, b1),
        .n_out = l->n,
        .second = second,
        .second_bias = bias,
        .relu = l->activation == PERCEPTRON_RELU,
    };
}

void perceptron_load(struct perceptron *l, struct weights *w, size_t n_unused, size_t n,
                     size_t hidden, const char *prefix)
{
    size_t n_in = n_unused + n;
    l->n = n;
    l->hidden = hidden;
    l->is_field = n <= FEW_OUTPUTS;
    const float *w1 = weights_matrix(w, hidden, n_in, "%s.0.weight", prefix);
    const float *b1 = weights_floats(w, SHAPE(hidden), "%s.0.bias", prefix);
    const float *w2 = weights_matrix(w, n, hidden, "%s.2.weight", prefix);
    const float *b2 = weights_floats(w, SHAPE(n), "%s.2.bias", prefix);
    float *used = weights_raw(w, hidden * n);
    for (size_t i = 0; used && w1 && i < hidden; i++)
        memcpy(used + i * n, w1 + i * n_in + n_unused, n * sizeof *used);
    if (l->is_field) {
        l->field = field_load(w, l, used, b1, w2, b2);
        return;
    }
    l->first = panels_load(w, hidden, n, used, b1);
    l->second = panels_load(w, n, hidden, w2, b2);
}

void perceptron_forward(const struct perceptron *l, float *y, const float *x, float *scratch)
{
    const struct kernels *k = kernels_get();
    if (l->is_field) {
        k->field(y, &l->field, x, scratch);
        return;
    }
    k->matvec(scratch, &l->first, x); /* [hidden] = W1 x + b1 */
    if (l->activation == PERCEPTRON_TANH)
        k->tanh(scratch, l->hidden);
    else
        relu(scratch, l->hidden);
    k->matvec(y, &l->second, scratch); /* [n] = W2 f(.) + b2 */
    memset(y + l->n, 0, (panels_padded(l->n) - l->n) * sizeof *y);
}

/* Row i of a: which slopes lead to the point where slope i is taken; b: to the end. */
static const struct tableau {
    int n_stages;
    float a[MAX_STAGES][MAX_STAGES - 1];
    float b[MAX_STAGES];
} tableaus[] = {
    [ODE_TSIT5] =
        {
            .n_stages = 6,
            .a = {{0},
                  {0.161f},
                  {-0.008480655492356989f, 0.335480655492357f},
                  {2.8971530571054935f, -6.359448489975075f, 4.3622954328695815f},
                  {5.325864828439257f, -11.748883564062828f, 7.4955393428898365f,
                   -0.09249506636175525f},
                  {5.86145544294642f, -12.92096931784711f, 8.159367898576159f, -0.071584973281401f,
                   -0.028269050394068383f}},
            .b = {0.09646076681806523f, 0.01f, 0.4798896504144996f, 1.379008574103742f,
                  -3.290069515436081f, 2.324710524099774f},
        },
    [ODE_RK4] =
        {
            .n_stages = 4,
            .a = {{0}, {0.5f}, {0.0f, 0.5f}, {0.0f, 0.0f, 1.0f}},
            .b = {1.0f / 6.0f, 1.0f / 3.0f, 1.0f / 3.0f, 1.0f / 6.0f},
        },
};

/* y = z + dt times the sum of the slopes so far, each times its coefficient. */
static void slopes_follow(float *y, const float *z, float dt, const float *slopes,
                          const float *coefficients, int n_slopes, size_t size)
{
    float steps[MAX_STAGES];
    for (int s = 0; s < n_slopes; s++) steps[s] = dt * coefficients[s];
    kernels_get()->move(y, z, slopes, size, steps, (size_t)n_slopes, size);
}

void ode_step(enum ode_solver solver, const struct perceptron *field, float *z, float dt,
              float *scratch)
{
    const struct tableau *t = &tableaus[solver];
    size_t size = field_padded(field->n);
    float *slopes = scratch;                   /* [stages, size] */
    float *point = slopes + MAX_STAGES * size; /* [size] */
    float *hidden = point + size;

    for (int s = 0; s < t->n_stages; s++) {
        slopes_follow(point, z, dt, slopes, t->a[s], s, size);
        perceptron_forward(field, slopes + (size_t)s * size, point, hidden); /* slope s at point */
    }
    slopes_follow(z, z, dt, slopes, t->b, t->n_stages, size);
}
