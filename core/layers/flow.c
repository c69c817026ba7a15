/* Local flow-field features of one point over a frozen cloud, in float64. Sums run in the order
 * of the points' indices, so that ties cannot change a number. */
#include "layers/flow.h"

#include <math.h>
#include <string.h>

#include "layers/matrix.h"

#define POLAR_STEPS 64 /* halves what is far from orthogonal, then doubles the digits */
#define POLAR_CLOSE 1e-14
#define NO_TIE (1.0 - 1e-9) /* neighbours at the very edge of the rule are none */

/* ---- load ---- */

void flow_cloud_load(struct flow_cloud *f, struct weights *w, bool gauges)
{
    size_t n = f->n_points, d = f->n_dims, s = f->n_directions;
    f->position = weights_doubles(w, SHAPE(n, d), "cloud.position");
    if (gauges) {
        f->frame = weights_doubles(w, SHAPE(n, d, s), "cloud.frame");
        f->length_series = weights_doubles(w, SHAPE(n), "cloud.length_series");
    }
    f->reach = weights_doubles(w, SHAPE(n), "cloud.reach");
    f->series = weights_doubles(w, SHAPE(n, s), "cloud.series");
    f->vector = weights_doubles(w, SHAPE(n, s), "cloud.vector");
    if (f->order > 1) f->gradient = weights_doubles(w, SHAPE(n, s * s), "cloud.gradient");
}

void flow_work_carve(struct flow_work *work, const struct flow_cloud *f, struct arena *a)
{
    size_t n = f->n_points, s = f->n_directions;
    work->squares = arena_doubles(a, n);
    work->nearest = arena_doubles(a, f->k);
    work->nearest_at = arena_take(a, f->k * sizeof *work->nearest_at);
    work->neighbours = arena_take(a, n * sizeof *work->neighbours);
    work->walk = arena_doubles(a, n);
    work->kernel = arena_doubles(a, n * s);
    if (f->frame) work->transport = arena_doubles(a, n * s * s);
    work->local = arena_doubles(a, s);
    work->turned = arena_doubles(a, s);
}

size_t flow_n_features(const struct flow_cloud *f)
{
    size_t s = f->n_directions;
    return s + s * s + (f->order > 1 ? s * s * s : 0);
}

/* ---- neighbours ---- */

static bool is_same(const struct flow_cloud *f, double square)
{
    return square < f->same * f->same;
}

/* Squared distances, and the k nearest points that are not x itself, nearest first; of equally near
 * ones the lower index. Returns how many were found: k, but in a cloud that is one heap. */
static size_t nearest_find(const struct flow_cloud *f, struct flow_work *work, const double *x)
{
    size_t found = 0;
    for (size_t j = 0; j < f->n_points; j++) {
        const double *p = f->position + j * f->n_dims;
        double square = 0.0;
        for (size_t i = 0; i < f->n_dims; i++) square += (p[i] - x[i]) * (p[i] - x[i]);
        work->squares[j] = square;
        if (is_same(f, square)) continue;
        if (found == f->k && square >= work->nearest[found - 1]) continue;
        size_t at = found < f->k ? found++ : found - 1;
        for (; at > 0 && work->nearest[at - 1] > square; at--) {
            work->nearest[at] = work->nearest[at - 1];
            work->nearest_at[at] = work->nearest_at[at - 1];
        }
        work->nearest[at] = square;
        work->nearest_at[at] = (uint32_t)j;
    }
    return found;
}

/* Index of the smallest squared distance, x itself included. */
static size_t closest_find(const struct flow_cloud *f, const struct flow_work *work)
{
    size_t best = 0;
    for (size_t j = 1; j < f->n_points; j++)
        if (work->squares[j] < work->squares[best]) best = j;
    return best;
}

/* The neighbours by the CkNN rule, of the n nearest found; returns how many. */
static size_t neighbours_find(const struct flow_cloud *f, struct flow_work *work, size_t n)
{
    double own = n ? sqrt(work->nearest[n - 1]) : 0.0;
    size_t count = 0;
    for (size_t j = 0; j < f->n_points; j++) {
        double limit = NO_TIE * f->delta * f->delta * own * f->reach[j];
        if (is_same(f, work->squares[j]) || !(work->squares[j] < limit)) continue;
        work->neighbours[count++] = (uint32_t)j;
    }
    if (count >= 2) return count;
    memcpy(work->neighbours, work->nearest_at, n * sizeof *work->neighbours);
    return n;
}

/* walk [count]: 1 / distance, summing to one */
static void walk_form(struct flow_work *work, size_t count)
{
    double sum = 0.0;
    for (size_t a = 0; a < count; a++) {
        work->walk[a] = 1.0 / sqrt(work->squares[work->neighbours[a]]);
        sum += work->walk[a];
    }
    for (size_t a = 0; a < count; a++) work->walk[a] /= sum;
}

/* ---- frames ---- */

static void unit_set(double *q, size_t s)
{
    for (size_t i = 0; i < s * s; i++) q[i] = i % (s + 1) == 0 ? 1.0 : 0.0;
}

/* q [S, S] becomes its orthogonal factor (Newton's iteration, until it stands still);
 * the unit matrix when q is singular. */
static void polar_factor(double *q, size_t s)
{
    double turned[FLOW_MAX_DIMS * FLOW_MAX_DIMS], inverse[FLOW_MAX_DIMS * FLOW_MAX_DIMS];
    double change = 1.0;
    for (int step = 0; step < POLAR_STEPS && change > POLAR_CLOSE; step++) {
        matrix_transpose(turned, q, s, s);
        unit_set(inverse, s);
        if (matrix_solve(turned, inverse, s, s)) {
            unit_set(q, s);
            return;
        }
        change = 0.0;
        for (size_t i = 0; i < s * s; i++) {
            double next = 0.5 * (q[i] + inverse[i]);
            change = fmax(change, fabs(next - q[i]));
            q[i] = next;
        }
    }
}

/* transport [count, S, S]: frames of the neighbours into that of x */
static void transport_form(const struct flow_cloud *f, struct flow_work *work, const double *frame,
                           size_t count)
{
    size_t d = f->n_dims, s = f->n_directions;
    for (size_t a = 0; a < count; a++) {
        const double *other = f->frame + work->neighbours[a] * d * s;
        double *r = work->transport + a * s * s;
        memset(r, 0, s * s * sizeof *r);
        for (size_t i = 0; i < d; i++)
            for (size_t p = 0; p < s; p++)
                for (size_t q = 0; q < s; q++)
                    r[p * s + q] += frame[i * s + p] * other[i * s + q]; /* T_x' T_j [S, S] */
        polar_factor(r, s);
    }
}

/* y [S] = v in the frame, or v itself */
static void frame_project(const struct flow_cloud *f, double *y, const double *frame,
                          const double *v)
{
    for (size_t q = 0; q < f->n_directions; q++) {
        y[q] = frame ? 0.0 : v[q];
        for (size_t i = 0; frame && i < f->n_dims; i++)
            y[q] += frame[i * f->n_directions + q] * v[i];
    }
}

/* The vector of neighbour a as x sees it, in work; it lies [S] with a stride. */
static const double *neighbour_vector(const struct flow_cloud *f, struct flow_work *work, size_t a,
                                      const double *vector, size_t stride)
{
    size_t s = f->n_directions;
    for (size_t p = 0; p < s; p++) {
        work->turned[p] = f->frame ? 0.0 : vector[p * stride];
        for (size_t q = 0; f->frame && q < s; q++)
            work->turned[p] += work->transport[(a * s + p) * s + q] * vector[q * stride];
    }
    return work->turned;
}

/* ---- features ---- */

/* kernel [count, S]: derivatives along the directions, each summing to one in size */
static void kernel_form(const struct flow_cloud *f, struct flow_work *work, const double *x,
                        const double *frame, size_t count)
{
    size_t d = f->n_dims, s = f->n_directions;
    double sums[FLOW_MAX_DIMS] = {0}, away[FLOW_MAX_DIMS] = {0};
    for (size_t a = 0; a < count; a++) {
        const double *p = f->position + work->neighbours[a] * d;
        for (size_t i = 0; i < d; i++) away[i] = p[i] - x[i]; /* x_j - x */
        frame_project(f, work->kernel + a * s, frame, away);
        for (size_t q = 0; q < s; q++) sums[q] += fabs(work->kernel[a * s + q]);
    }
    for (size_t q = 0; q < s; q++)
        for (size_t a = 0; a < count; a++)
            work->kernel[a * s + q] = sums[q] > 0.0 ? work->kernel[a * s + q] / sums[q] : 0.0;
}

/* o_0 [S] */
static void vector_diffuse(const struct flow_cloud *f, struct flow_work *work, double *y,
                           size_t count)
{
    size_t s = f->n_directions;
    double fade = f->scale * exp(-f->diffusion_time), own = 0.0, length = 0.0, size = 0.0;
    memcpy(y, work->local, s * sizeof *y);
    for (size_t q = 0; q < s; q++) own += y[q] * y[q];
    length = sqrt(own);
    for (size_t a = 0; a < count; a++) {
        size_t j = work->neighbours[a]; /* y [S] = v + sum over j of P_j g_j */
        const double *g = neighbour_vector(f, work, a, f->series + j * s, 1);
        for (size_t q = 0; q < s; q++) y[q] += work->walk[a] * g[q];
        if (f->frame) length += work->walk[a] * f->length_series[j];
    }
    for (size_t q = 0; q < s; q++) size += y[q] * y[q];
    double factor = !f->frame ? fade : size > 0.0 ? fade * length / sqrt(size) : 0.0;
    for (size_t q = 0; q < s; q++) y[q] *= factor;
}

/* y [S * n_inner * S]: derivatives of a field [n, S * n_inner], own its value at x */
static void field_differentiate(const struct flow_cloud *f, struct flow_work *work, double *y,
                                const double *field, const double *own, size_t n_inner,
                                size_t count)
{
    size_t s = f->n_directions, width = s * n_inner;
    memset(y, 0, width * s * sizeof *y);
    for (size_t a = 0; a < count; a++) {
        const double *row = field + work->neighbours[a] * width;
        for (size_t inner = 0; inner < n_inner; inner++) {
            const double *vector = neighbour_vector(f, work, a, row + inner, n_inner);
            for (size_t c = 0; c < s; c++) {
                size_t at = c * n_inner + inner; /* channel by channel, directions within */
                double rise = vector[c] - own[at];
                for (size_t q = 0; q < s; q++) y[at * s + q] += work->kernel[a * s + q] * rise;
            }
        }
    }
}

void flow_features(const struct flow_cloud *f, struct flow_work *work, double *features,
                   const double *x, const double *v)
{
    size_t s = f->n_directions;
    size_t count = neighbours_find(f, work, nearest_find(f, work, x));
    const double *frame = NULL;
    if (f->frame) frame = f->frame + closest_find(f, work) * f->n_dims * s;
    if (f->frame) transport_form(f, work, frame, count);
    walk_form(work, count);
    kernel_form(f, work, x, frame, count);
    frame_project(f, work->local, frame, v);
    double *first = features + s, *second = first + s * s; /* o_1 [S * S], o_2 [S * S * S] */
    vector_diffuse(f, work, features, count);
    field_differentiate(f, work, first, f->vector, features, 1, count);
    if (f->order > 1) field_differentiate(f, work, second, f->gradient, first, s, count);
}
