/* Decomposed linear dynamical system (dLDS, Mudrik et al. 2024), filtered by BPDN-DF.
 *
 *   x_t+1 = (sum_m c_m,t F_m) x_t        c sparse
 *   y_t   = D x_t + offset + noise
 *
 * At each bin, with A = [F_1 x .. F_M x] of the estimate before, the minimum over x and c of
 *
 *   1/2 |y - D x|^2 / R  +  lambda/2 |x - A c|^2  +  gamma |c|_1  +  kappa/2 |c - c_before|^2
 *
 * is approached a fixed number of times (`turns`), alternating:
 *   x by its normal equations (a constant matrix, inverted at load)
 *   c by `fista_steps` steps of FISTA from c_before
 * Observed are the counts themselves ("counts") or 2 sqrt(counts + 3/8) ("anscombe").
 *
 * Streaming: exact, Markov; the cost does not depend on the data. Latents: x, then c.
 * State: S + M numbers.
 * Multiply-adds per bin: 2 S C + M S^2 + turns (S^2 + M S (1 + 2 steps)). float64 inside.
 * predict: x = A c, made no longer than x was (a mixture of operators may grow, a gap may be
 * long); c kept. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "layers/layers.h"
#include "layers/matrix.h"
#include "models/model.h"

#define MAX_STATES 256
#define MAX_OPERATORS 256
#define RATE_MIN 1e-6 /* counts per bin: rates have a logarithm */

static const struct latent_mode dlds_modes[] = {{.name = "causal"}, {0}};

enum observation { OBSERVATION_COUNTS, OBSERVATION_ANSCOMBE };

struct dlds {
    size_t n_channels, n_states, n_operators, n_readout; /* C, S, M, O */
    enum observation observation;
    size_t turns, fista_steps;
    double lambda, gamma, kappa;
    const double *operators; /* F [M, S, S] */
    const double *loading;   /* D [C, S] */
    const double *offset;    /* [C] */
    const double *pull;      /* R^-1 D [C, S] */
    const double *inverse;   /* (D' R^-1 D + lambda I)^-1 [S, S] */
    const double *x0, *c0;   /* [S], [M] */
    struct linear readout;   /* [O, S] */
};

struct dlds_state {
    const struct dlds *m;
    double *x, *c;                       /* [S], [M] */
    double *moved;                       /* A [M, S]: row m is F_m x */
    double *observed;                    /* D' R^-1 (y - offset) [S] */
    double *target;                      /* [S] */
    double *c_before, *c_last, *c_ahead; /* [M] */
    double *residual;                    /* [S] */
};

/* ---- load ---- */

/* The constant matrix of the x step, inverted. work: 2 S^2. */
static const double *inverse_load(struct dlds *m, struct weights *w)
{
    size_t n = m->n_states;
    double *inverse = arena_doubles(w->arena, n * n), *normal = arena_doubles(w->arena, n * n);
    if (!inverse || !normal || !m->pull || w->status) return inverse;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = i == j ? m->lambda : 0.0;
            for (size_t k = 0; k < m->n_channels; k++)
                sum += m->loading[k * n + i] * m->pull[k * n + j];
            normal[i * n + j] = sum;
            inverse[i * n + j] = i == j ? 1.0 : 0.0;
        }
    if (matrix_solve_positive(normal, inverse, n, n))
        w->status = error_set(
            w->err, LATENT_E_TENSOR,
            "tensors \"D\", \"R\": expected D' R^-1 D + lambda I to be positive definite, "
            "found it is not (too large?)");
    return inverse;
}

static void observation_load(struct dlds *m, struct weights *w)
{
    size_t n = m->n_states, channels = m->n_channels;
    m->loading = weights_doubles(w, SHAPE(channels, n), "D");
    m->offset = weights_doubles(w, SHAPE(channels), "offset");
    const double *variance = weights_doubles(w, SHAPE(channels), "R");
    double *pull = arena_doubles(w->arena, channels * n);
    m->pull = pull;
    for (size_t k = 0; variance && k < channels; k++) {
        if (!(variance[k] > 0.0)) {
            w->status = error_set(w->err, LATENT_E_TENSOR,
                                  "tensor \"R\": expected positive variances, found %g at [%zu]; "
                                  "give silent channels a small one",
                                  variance[k], k);
            return;
        }
        for (size_t i = 0; pull && i < n; i++)
            pull[k * n + i] = m->loading[k * n + i] / variance[k];
    }
    m->inverse = inverse_load(m, w);
}

static void hyper_read(struct dlds *m, struct fields *c)
{
    static const char *const observations[] = {
        [OBSERVATION_COUNTS] = "counts", [OBSERVATION_ANSCOMBE] = "anscombe", NULL};
    m->observation = (enum observation)fields_choice(c, "observation", observations);
    m->turns = (size_t)fields_int(c, "turns", 1, 20);
    m->fista_steps = (size_t)fields_int(c, "fista_steps", 1, 1000);
    m->lambda = fields_number(c, "lambda", 1e-9, 1e9);
    m->gamma = fields_number(c, "gamma", 0.0, 1e9);
    m->kappa = fields_number(c, "kappa", 1e-9, 1e9);
    if (fields_bool(c, "lograte"))
        fields_refuse(c, LATENT_E_CONFIG, "lograte",
                      "expected false: the rates of a dlds are linear in its states");
}

static void *dlds_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    struct dlds m = {.n_channels = dims->n_channels};
    hyper_read(&m, c);
    if (c->status) return NULL;
    m.n_operators = weights_axis(w, "F", 0, MAX_OPERATORS);
    m.n_states = weights_axis(w, "F", 1, MAX_STATES);
    m.operators = weights_doubles(w, SHAPE(m.n_operators, m.n_states, m.n_states), "F");
    m.x0 = weights_doubles(w, SHAPE(m.n_states), "x0");
    m.c0 = weights_doubles(w, SHAPE(m.n_operators), "c0");
    observation_load(&m, w);
    if (weights_has(w, "readout.weight")) {
        m.n_readout = weights_axis(w, "readout.weight", 0, 4096);
        linear_load(&m.readout, w, m.n_readout, m.n_states, "readout");
    }
    dims->n_latents = m.n_states + m.n_operators;
    dims->n_rates = m.n_channels;
    dims->n_readout = m.n_readout;
    return arena_copy(w->arena, &m, sizeof m);
}

/* ---- state ---- */

static void *dlds_init(const void *model, int mode, struct model_memory *mem)
{
    const struct dlds *m = model;
    struct dlds_state s = {.m = m};
    (void)mode;
    s.x = arena_doubles(mem->state, m->n_states);
    s.c = arena_doubles(mem->state, m->n_operators);
    s.moved = arena_doubles(mem->work, m->n_operators * m->n_states);
    s.observed = arena_doubles(mem->work, m->n_states);
    s.target = arena_doubles(mem->work, m->n_states);
    s.c_before = arena_doubles(mem->work, m->n_operators);
    s.c_last = arena_doubles(mem->work, m->n_operators);
    s.c_ahead = arena_doubles(mem->work, m->n_operators);
    s.residual = arena_doubles(mem->work, m->n_states);
    return arena_copy(mem->work, &s, sizeof s);
}

static void dlds_reset(void *state)
{
    struct dlds_state *s = state;
    memcpy(s->x, s->m->x0, s->m->n_states * sizeof *s->x);
    memcpy(s->c, s->m->c0, s->m->n_operators * sizeof *s->c);
}

/* ---- one bin ---- */

static double count_transform(const struct dlds *m, float count)
{
    if (m->observation == OBSERVATION_COUNTS) return (double)count;
    return 2.0 * sqrt(fmax((double)count, 0.0) + 0.375);
}

/* Expected count of a predicted observation. */
static double rate_expect(const struct dlds *m, double y)
{
    y = fmax(y, 0.0);
    return fmax(m->observation == OBSERVATION_COUNTS ? y : 0.25 * y * y - 0.375, RATE_MIN);
}

/* observed [S] = D' R^-1 (y - offset) */
static void counts_observe(struct dlds_state *s, const float *counts)
{
    const struct dlds *m = s->m;
    size_t n = m->n_states;
    memset(s->observed, 0, n * sizeof *s->observed);
    for (size_t k = 0; k < m->n_channels; k++) {
        double y = count_transform(m, counts[k]) - m->offset[k];
        for (size_t i = 0; i < n; i++) s->observed[i] += m->pull[k * n + i] * y;
    }
}

/* A: every operator on the estimate before */
static void operators_apply(struct dlds_state *s)
{
    const struct dlds *m = s->m;
    size_t n = m->n_states;
    matrix_multiply(s->moved, m->operators, s->x, m->n_operators * n, n, 1);
}

/* y [S] = A c */
static void operators_mix(const struct dlds_state *s, double *y, const double *c)
{
    matrix_multiply(y, c, s->moved, 1, s->m->n_operators, s->m->n_states);
}

/* x = (D' R^-1 D + lambda I)^-1 (observed + lambda A c) */
static void x_solve(struct dlds_state *s)
{
    const struct dlds *m = s->m;
    size_t n = m->n_states;
    operators_mix(s, s->target, s->c);
    for (size_t i = 0; i < n; i++) s->target[i] = s->observed[i] + m->lambda * s->target[i];
    matrix_multiply(s->x, m->inverse, s->target, n, n, 1); /* [S] */
}

static double soft_threshold(double x, double limit)
{
    return copysign(fmax(fabs(x) - limit, 0.0), x);
}

/* Gradient step on the smooth part at c_ahead, shrunk: the new c [M]. */
static void c_step(struct dlds_state *s, double step)
{
    const struct dlds *m = s->m;
    size_t n = m->n_states;
    operators_mix(s, s->residual, s->c_ahead);
    for (size_t i = 0; i < n; i++) s->residual[i] -= s->x[i]; /* A c - x [S] */
    for (size_t j = 0; j < m->n_operators; j++) {
        double slope = m->kappa * (s->c_ahead[j] - s->c_before[j]); /* + lambda (A' residual)_j */
        for (size_t i = 0; i < n; i++) slope += m->lambda * s->moved[j * n + i] * s->residual[i];
        s->c[j] = soft_threshold(s->c_ahead[j] - step * slope, step * m->gamma);
    }
}

/* c by FISTA. The step is the inverse of lambda |A|^2 + kappa, |A| the Frobenius norm:
 * an upper bound that needs no eigenvalue. */
static void c_solve(struct dlds_state *s)
{
    const struct dlds *m = s->m;
    size_t n = m->n_operators;
    double size = 0.0, momentum = 1.0;
    for (size_t i = 0; i < n * m->n_states; i++) size += s->moved[i] * s->moved[i];
    double step = 1.0 / (m->lambda * size + m->kappa);
    memcpy(s->c, s->c_before, n * sizeof *s->c);
    memcpy(s->c_ahead, s->c, n * sizeof *s->c);
    for (size_t k = 0; k < m->fista_steps; k++) {
        double next = 0.5 * (1.0 + sqrt(1.0 + 4.0 * momentum * momentum));
        memcpy(s->c_last, s->c, n * sizeof *s->c);
        c_step(s, step);
        for (size_t j = 0; j < n; j++)
            s->c_ahead[j] = s->c[j] + (momentum - 1.0) / next * (s->c[j] - s->c_last[j]);
        momentum = next;
    }
}

static void outputs_write(struct dlds_state *s, struct model_out *out)
{
    const struct dlds *m = s->m;
    size_t n = m->n_states;
    for (size_t i = 0; i < n; i++) out->latents[i] = (float)s->x[i];
    for (size_t j = 0; j < m->n_operators; j++) out->latents[n + j] = (float)s->c[j];
    for (size_t k = 0; k < m->n_channels; k++) {
        double y = m->offset[k];
        for (size_t i = 0; i < n; i++) y += m->loading[k * n + i] * s->x[i];
        out->rates[k] = (float)rate_expect(m, y);
    }
    if (m->n_readout) linear_forward(&m->readout, out->readout, out->latents);
}

static void dlds_step(void *state, const float *counts, struct model_out *out)
{
    struct dlds_state *s = state;
    operators_apply(s);
    counts_observe(s, counts);
    memcpy(s->c_before, s->c, s->m->n_operators * sizeof *s->c);
    for (size_t turn = 0; turn < s->m->turns; turn++) {
        x_solve(s);
        c_solve(s);
    }
    outputs_write(s, out);
}

static double vector_length(const double *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static void dlds_predict(void *state, struct model_out *out)
{
    struct dlds_state *s = state;
    size_t n = s->m->n_states;
    double before = vector_length(s->x, n);
    operators_apply(s);
    operators_mix(s, s->x, s->c);
    double after = vector_length(s->x, n);
    for (size_t i = 0; after > before && i < n; i++) s->x[i] *= before / after;
    outputs_write(s, out);
}

static const char *dlds_counts_check(const void *model)
{
    const struct dlds *m = model;
    return m->observation == OBSERVATION_ANSCOMBE ? "it takes square roots of counts" : NULL;
}

const struct model_ops dlds_ops = {
    .name = "dlds",
    .modes = dlds_modes,
    .load = dlds_load,
    .init = dlds_init,
    .reset = dlds_reset,
    .step = dlds_step,
    .predict = dlds_predict,
    .counts_check = dlds_counts_check,
};
