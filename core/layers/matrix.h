/* Small dense float64 matrices, row-major, for load time and states of a few dimensions. */
#ifndef LATENT_MATRIX_H
#define LATENT_MATRIX_H

#include <stddef.h>

/* y [n, m] = a [n, k] b [k, m]; y is neither a nor b. */
void matrix_multiply(double *y, const double *a, const double *b, size_t n, size_t k, size_t m);
/* y [m, n] = a [n, m]^T */
void matrix_transpose(double *y, const double *a, size_t n, size_t m);
/* Solve a x = b for x [n, m], Gauss with partial pivoting; a [n, n] is destroyed, b
 * becomes x. Returns -1 when a is singular. */
int matrix_solve(double *a, double *b, size_t n, size_t m);
/* Solve a x = b for a symmetric positive definite (Cholesky, in place). -1 when it is not. */
int matrix_solve_positive(double *a, double *b, size_t n, size_t m);

#endif
