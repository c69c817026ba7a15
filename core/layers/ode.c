/* A two-layer perceptron as a vector field, and explicit Runge-Kutta steps along it. */
#include "layers/ode.h"

#include <string.h>

#define MAX_STAGES 6
/* Up to this many outputs the dot products of the rows are faster than panels, whose
 * sums each wait for the one before. */
#define FEW_OUTPUTS 16

void perceptron_load(struct perceptron *l, struct weights *w, size_t n_unused, size_t n,
                     size_t hidden, const char *prefix)
{
    size_t n_in = n_unused + n;
    l->n = n;
    l->hidden = hidden;
    const float *w1 = weights_matrix(w, hidden, n_in, "%s.0.weight", prefix);
    const float *b1 = weights_floats(w, SHAPE(hidden), "%s.0.bias", prefix);
    const float *w2 = weights_matrix(w, n, hidden, "%s.2.weight", prefix);
    const float *b2 = weights_floats(w, SHAPE(n), "%s.2.bias", prefix);
    float *used = weights_raw(w, hidden * n);
    for (size_t i = 0; used && w1 && i < hidden; i++)
        memcpy(used + i * n, w1 + i * n_in + n_unused, n * sizeof *used);
    l->first = panels_load(w, hidden, n, used, b1);
    l->second = panels_load(w, n, hidden, w2, b2);
    l->second_weight = arena_copy(w->arena, w2, n * hidden * sizeof *w2);
}

void perceptron_forward(const struct perceptron *l, float *y, const float *x,
                        float *scratch)
{
    const struct kernels *k = kernels_get();
    k->matvec(scratch, &l->first, x);
    if (l->activation == PERCEPTRON_TANH)
        k->tanh(scratch, l->hidden);
    else
        relu(scratch, l->hidden);
    if (l->n > FEW_OUTPUTS) {
        k->matvec(y, &l->second, scratch);
        return;
    }
    k->dots(y, scratch, l->hidden, l->second_weight, l->hidden, l->n);
    add(y, l->second.bias, l->n);
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
                  {5.86145544294642f, -12.92096931784711f, 8.159367898576159f,
                   -0.071584973281401f, -0.028269050394068383f}},
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

/* y = z + dt * sum of n slopes, each times its coefficient */
static void move(float *y, const float *z, float dt, const float *slopes,
                 const float *coefficients, int n_slopes, size_t n)
{
    memmove(y, z, n * sizeof *y);
    for (int s = 0; s < n_slopes; s++) {
        float c = dt * coefficients[s];
        for (size_t i = 0; i < n; i++) y[i] += c * slopes[(size_t)s * n + i];
    }
}

void ode_step(enum ode_solver solver, const struct perceptron *field, float *z,
              float dt, float *scratch)
{
    const struct tableau *t = &tableaus[solver];
    size_t n = field->n;
    float *slopes = scratch;                /* [stages, n] */
    float *point = slopes + MAX_STAGES * n; /* [n] */
    float *hidden = point + n;

    for (int s = 0; s < t->n_stages; s++) {
        move(point, z, dt, slopes, t->a[s], s, n);
        perceptron_forward(field, slopes + (size_t)s * n, point, hidden);
    }
    move(z, z, dt, slopes, t->b, t->n_stages, n);
}
