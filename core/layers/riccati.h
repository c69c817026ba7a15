/* The covariance of a Kalman filter in information form: G = C' R^-1 C, so that no step inverts
 * more than S x S. */
#ifndef LATENT_RICCATI_H
#define LATENT_RICCATI_H

#include <stddef.h>

#define RICCATI_SCRATCH(n) (3 * (n) * (n)) /* doubles of work */

/* p = a p a' + q, all [n, n] */
void riccati_predict(double *p, const double *a, const double *q, size_t n, double *work);
/* p = (p^-1 + g)^-1, made symmetric, without inverting p; -1 when it is singular. */
int riccati_update(double *p, const double *g, size_t n, double *work);
/* p = the fixed point of predict and update, from p = q; -1 when it is not reached. */
int riccati_settle(double *p, const double *a, const double *q, const double *g, size_t n,
                   double *work);
/* What an observation x = C s + v, v ~ N(0, R) tells: b [n_seen, n] = R^-1 C and
 * g [n, n] = C' b, from c [n_seen, n] and r [n_seen, n_seen]. work: n_seen^2 doubles.
 * -1 when r is not positive definite. */
int riccati_observe(double *b, double *g, const double *c, const double *r, size_t n_seen, size_t n,
                    double *work);

#endif
