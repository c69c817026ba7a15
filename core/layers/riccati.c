/* The covariance of a Kalman filter in information form. */
#include "layers/riccati.h"

#include <math.h>
#include <string.h>

#include "layers/matrix.h"

#define MAX_STEPS 100000
#define TOLERANCE 1e-14 /* relative change of the covariance */

void riccati_predict(double *p, const double *a, const double *q, size_t n, double *work)
{
    double *ap = work, *at = work + n * n;
    matrix_multiply(ap, a, p, n, n, n); /* A P */
    matrix_transpose(at, a, n, n);
    matrix_multiply(p, ap, at, n, n, n); /* A P A' */
    for (size_t i = 0; i < n * n; i++) p[i] += q[i];
}

/* (p^-1 + g)^-1 = (I + p g)^-1 p */
int riccati_update(double *p, const double *g, size_t n, double *work)
{
    matrix_multiply(work, p, g, n, n, n); /* P G */
    for (size_t i = 0; i < n; i++) work[i * n + i] += 1.0;
    if (matrix_solve(work, p, n, n)) return -1; /* p = (I + P G)^-1 P */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            p[i * n + j] = p[j * n + i] = 0.5 * (p[i * n + j] + p[j * n + i]);
    return 0;
}

int riccati_settle(double *p, const double *a, const double *q, const double *g, size_t n,
                   double *work)
{
    double *before = work + 2 * n * n;
    memcpy(p, q, n * n * sizeof *p);
    for (int step = 0; step < MAX_STEPS; step++) {
        double change = 0.0, size = 0.0;
        memcpy(before, p, n * n * sizeof *p);
        riccati_predict(p, a, q, n, work);
        if (riccati_update(p, g, n, work)) return -1;
        for (size_t i = 0; i < n * n; i++) {
            change = fmax(change, fabs(p[i] - before[i]));
            size = fmax(size, fabs(p[i]));
        }
        if (step && change <= TOLERANCE * size) return 0;
        if (!isfinite(size)) return -1;
    }
    return -1;
}

int riccati_observe(double *b, double *g, const double *c, const double *r, size_t n_seen, size_t n,
                    double *work)
{
    memcpy(work, r, n_seen * n_seen * sizeof *work);
    memcpy(b, c, n_seen * n * sizeof *b);
    if (matrix_solve_positive(work, b, n_seen, n)) return -1; /* b = R^-1 C */
    memset(g, 0, n * n * sizeof *g);
    for (size_t k = 0; k < n_seen; k++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) g[i * n + j] += c[k * n + i] * b[k * n + j]; /* C' b */
    return 0;
}
