/* Small dense float64 matrices. */
#include "layers/matrix.h"

#include <math.h>
#include <string.h>

void matrix_multiply(double *y, const double *a, const double *b, size_t n, size_t k, size_t m)
{
    memset(y, 0, n * m * sizeof *y);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++)
            for (size_t c = 0; c < m; c++) y[i * m + c] += a[i * k + j] * b[j * m + c];
}

void matrix_transpose(double *y, const double *a, size_t n, size_t m)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) y[j * n + i] = a[i * m + j];
}

static void rows_swap(double *a, size_t width, size_t i, size_t j)
{
    for (size_t c = 0; c < width; c++) {
        double t = a[i * width + c];
        a[i * width + c] = a[j * width + c];
        a[j * width + c] = t;
    }
}

/* row i -= factor * row j */
static void row_subtract(double *a, size_t width, size_t i, size_t j, double factor)
{
    for (size_t c = 0; c < width; c++) a[i * width + c] -= factor * a[j * width + c];
}

int matrix_solve(double *a, double *b, size_t n, size_t m)
{
    for (size_t i = 0; i < n; i++) {
        size_t pivot = i;
        for (size_t r = i + 1; r < n; r++)
            if (fabs(a[r * n + i]) > fabs(a[pivot * n + i])) pivot = r;
        if (!(fabs(a[pivot * n + i]) > 0.0)) return -1;
        rows_swap(a, n, i, pivot);
        rows_swap(b, m, i, pivot);
        for (size_t r = 0; r < n; r++) {
            if (r == i) continue;
            double factor = a[r * n + i] / a[i * n + i];
            row_subtract(a, n, r, i, factor);
            row_subtract(b, m, r, i, factor);
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < m; c++) b[i * m + c] /= a[i * n + i];
    return 0;
}

static int cholesky(double *a, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        for (size_t k = 0; k < j; k++)
            for (size_t i = j; i < n; i++) a[i * n + j] -= a[i * n + k] * a[j * n + k];
        if (!(a[j * n + j] > 0.0)) return -1;
        double root = sqrt(a[j * n + j]);
        for (size_t i = j; i < n; i++) a[i * n + j] /= root;
    }
    return 0;
}

int matrix_solve_positive(double *a, double *b, size_t n, size_t m)
{
    if (cholesky(a, n)) return -1;
    for (size_t i = 0; i < n; i++) { /* L z = b */
        for (size_t k = 0; k < i; k++) row_subtract(b, m, i, k, a[i * n + k]);
        for (size_t c = 0; c < m; c++) b[i * m + c] /= a[i * n + i];
    }
    for (size_t i = n; i-- > 0;) { /* L^T x = z */
        for (size_t k = i + 1; k < n; k++) row_subtract(b, m, i, k, a[k * n + i]);
        for (size_t c = 0; c < m; c++) b[i * m + c] /= a[i * n + i];
    }
    return 0;
}
