/* A two-layer perceptron, and fixed-step integration of dz/ds = perceptron(z). */
#ifndef LATENT_ODE_H
#define LATENT_ODE_H

#include "layers/layers.h"

enum perceptron_activation { PERCEPTRON_TANH, PERCEPTRON_RELU };

/* y = W2 activation(W1 x + b1) + b2, from n to n */
struct perceptron {
    size_t n, hidden;
    enum perceptron_activation activation;
    bool is_field;        /* few outputs: */
    struct field field;   /* both layers, in float32 in every precision */
    struct panels first;  /* otherwise [hidden, n] */
    struct panels second; /* and [n, hidden] */
};

/* Takes <prefix>.0.weight [hidden, n_unused + n], .0.bias, .2.weight, .2.bias. The
 * first n_unused columns belong to inputs that are always zero. */
void perceptron_load(struct perceptron *l, struct weights *w, size_t n_unused, size_t n,
                     size_t hidden, const char *prefix);
/* y [n, rounded up to 16] (behind n: the same whatever was there), scratch [hidden,
 * rounded up to 16] */
void perceptron_forward(const struct perceptron *l, float *y, const float *x, float *scratch);

enum ode_solver { ODE_TSIT5, ODE_RK4 };

#define ODE_SCRATCH(n, hidden) (8 * panels_padded(n) + panels_padded(hidden))
/* z [n, rounded up to 16] one step of size dt further. Tsit5: Tsitouras' method of order 5. */
void ode_step(enum ode_solver solver, const struct perceptron *field, float *z, float dt,
              float *scratch);

#endif
