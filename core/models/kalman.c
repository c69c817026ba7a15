/* Kalman filter.
 *
 *   s_t = A s_t-1 + w            w ~ N(0, Q)
 *   x_t = C s_t + offset + v     v ~ N(0, R)
 *
 * Streaming: exact. Forms:
 *   steady   gain of the Riccati recursion's fixed point, found at load
 *   full     covariance carried from bin to bin, starting from P0
 *   given    s = M1 s + M2 x + m0, as a rig recorded it
 * Observations enter through B = C' R^-1 and G = B C, so that no bin inverts more than S x S.
 *
 * State: S numbers, and S x S for "full".
 * Multiply-adds per bin: S (S + C'), C' the non-zero channels; full: about 6 S^3 more.
 * float64 inside, float32 out.
 * predict: the time update; "given": the training mean as input. */
#include <string.h>

#include "base/error.h"
#include "layers/matrix.h"
#include "layers/riccati.h"
#include "models/model.h"

static const struct latent_mode kalman_modes[] = {{.name = "causal"}, {0}};

enum kalman_form { FORM_STEADY, FORM_FULL, FORM_GIVEN };

#define KALMAN_MAX_STATES 256

struct kalman {
    size_t n_channels, n_states, n_readout; /* C, S, O */
    int form;
    const double *transition; /* A [S, S]; given: M1 */
    const double *gain;       /* [C, S]: steady K^T, full B^T, given M2^T */
    const double *decay;      /* [S, S]: steady A - K C A, given M1 */
    const double *constant;   /* [S]: added at each step with input */
    const double *forecast;   /* [S]: added at each step without, or NULL: cannot predict */
    const double *noise, *information;      /* Q, G [S, S] (full) */
    const double *start, *start_covariance; /* x0 [S], P0 [S, S] */
    const double *readout, *readout_bias;   /* [O, S], [O]; NULL: the state itself */
};

struct kalman_state {
    const struct kalman *m;
    double *s;       /* [S] */
    double *p;       /* [S, S] (full) */
    double *scratch; /* [4 S^2 + 2 S] */
};

/* ---- load ---- */

static void weights_fail(struct weights *w, int status, const char *text)
{
    if (!w->status) w->status = error_set(w->err, status, "%s", text);
}

static const double *doubles_optional(struct weights *w, const char *name, size_t n_dims,
                                      const size_t *shape)
{
    return weights_has(w, name) ? weights_doubles(w, n_dims, shape, "%s", name) : NULL;
}

/* What the observation model gives, in the model's arena. */
struct observation {
    double *gain;        /* [C, S] */
    double *information; /* [S, S] */
    double *decay;       /* [S, S] */
    double *constant;    /* [S] */
};

/* B^T = R^-1 C and G = C^T R^-1 C. */
static void observation_solve(struct kalman *m, struct weights *w, struct observation *o,
                              const double *c, const double *r, struct arena *work)
{
    size_t n = m->n_states, channels = m->n_channels;
    double *big = arena_doubles(work, channels * channels);
    if (riccati_observe(o->gain, o->information, c, r, channels, n, big))
        weights_fail(
            w, LATENT_E_TENSOR,
            "tensor \"R\": expected a positive definite covariance, found one that is not; "
            "add a small value to its diagonal (silent channels have no variance)");
}

/* The steady gain: K^T = R^-1 C P, and A - K C A = A - P G A. */
static void gain_settle(struct kalman *m, struct weights *w, struct observation *o,
                        struct arena *work)
{
    size_t n = m->n_states, channels = m->n_channels;
    double *p = arena_doubles(work, n * n), *small = arena_doubles(work, RICCATI_SCRATCH(n));
    if (riccati_settle(p, m->transition, m->noise, o->information, n, small)) {
        weights_fail(w, LATENT_E_TENSOR,
                     "tensors \"A\", \"C\", \"Q\", \"R\": the Riccati recursion does not settle; "
                     "use form \"full\", or check that A and C describe an observable system");
        return;
    }
    double *bt = arena_copy(work, o->gain, channels * n * sizeof *bt);
    matrix_multiply(o->gain, bt, p, channels, n, n);
    matrix_multiply(small, p, o->information, n, n, n);
    matrix_multiply(small + n * n, small, m->transition, n, n, n);
    for (size_t i = 0; i < n * n; i++) o->decay[i] -= small[n * n + i];
}

static void observation_load(struct kalman *m, struct weights *w, const double *c, const double *r,
                             const double *offset)
{
    size_t n = m->n_states, channels = m->n_channels;
    struct observation o = {.gain = arena_doubles(w->arena, channels * n),
                            .information = arena_doubles(w->arena, n * n),
                            .decay = arena_doubles(w->arena, n * n),
                            .constant = arena_doubles(w->arena, n)};
    struct arena work = {0};
    m->gain = o.gain;
    m->information = o.information;
    m->decay = o.decay;
    m->constant = o.constant;
    if (!o.gain || w->status) return; /* only counting, or a tensor is missing */

    size_t size = channels * channels + channels * n + 4 * n * n;
    if (arena_new(&work, size * sizeof(double) + 8 * ARENA_ALIGN)) {
        weights_fail(w, LATENT_E_NOMEM, "kalman: no memory for the gain");
        return;
    }
    memcpy(o.decay, m->transition, n * n * sizeof *o.decay);
    observation_solve(m, w, &o, c, r, &work);
    if (!w->status && m->form == FORM_STEADY) gain_settle(m, w, &o, &work);
    for (size_t j = 0; offset && j < channels; j++)
        for (size_t i = 0; i < n; i++) o.constant[i] -= o.gain[j * n + i] * offset[j];
    arena_free(&work);
}

static void model_load(struct kalman *m, struct weights *w)
{
    size_t n = m->n_states = weights_axis(w, "A", 0, KALMAN_MAX_STATES), channels = m->n_channels;
    m->transition = weights_doubles(w, SHAPE(n, n), "A");
    const double *c = weights_doubles(w, SHAPE(channels, n), "C");
    m->noise = weights_doubles(w, SHAPE(n, n), "Q");
    const double *r = weights_doubles(w, SHAPE(channels, channels), "R");
    const double *offset = doubles_optional(w, "offset", SHAPE(channels));
    if (m->form == FORM_FULL) m->start_covariance = doubles_optional(w, "P0", SHAPE(n, n));
    if (!m->start_covariance) m->start_covariance = m->noise;
    m->forecast = arena_doubles(w->arena, n);
    observation_load(m, w, c, r, offset);
}

/* M2 mean(u) + m0 */
static const double *given_forecast(struct weights *w, const double *m2, const double *m0,
                                    const float *mean, size_t n, size_t channels)
{
    double *forecast = mean ? arena_doubles(w->arena, n) : NULL;
    for (size_t i = 0; forecast && m2 && m0 && i < n; i++) {
        forecast[i] = m0[i];
        for (size_t j = 0; j < channels; j++) forecast[i] += m2[i * channels + j] * (double)mean[j];
    }
    return forecast;
}

static void given_load(struct kalman *m, struct weights *w, const float *mean)
{
    size_t n = m->n_states = weights_axis(w, "M1", 0, KALMAN_MAX_STATES), channels = m->n_channels;
    m->transition = m->decay = weights_doubles(w, SHAPE(n, n), "M1");
    const double *m2 = weights_doubles(w, SHAPE(n, channels), "M2");
    double *m2t = arena_doubles(w->arena, channels * n);
    if (m2 && m2t) matrix_transpose(m2t, m2, n, channels);
    m->gain = m2t;
    m->constant = weights_doubles(w, SHAPE(n), "m0");
    m->forecast = given_forecast(w, m2, m->constant, mean, n, channels);
}

static void *kalman_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    static const char *const forms[] = {
        [FORM_STEADY] = "steady", [FORM_FULL] = "full", [FORM_GIVEN] = "given", NULL};
    struct kalman m = {.n_channels = dims->n_channels, .form = fields_choice(c, "form", forms)};
    if (c->status) return NULL;
    if (m.form == FORM_GIVEN)
        given_load(&m, w, dims->channel_mean);
    else
        model_load(&m, w);
    m.start = doubles_optional(w, "x0", SHAPE(m.n_states));
    m.n_readout = m.n_states;
    if (weights_has(w, "readout.weight")) {
        m.n_readout = weights_axis(w, "readout.weight", 0, KALMAN_MAX_STATES);
        m.readout = weights_doubles(w, SHAPE(m.n_readout, m.n_states), "readout.weight");
        m.readout_bias = weights_doubles(w, SHAPE(m.n_readout), "readout.bias");
    }
    dims->n_latents = m.n_states;
    dims->n_readout = m.n_readout;
    return arena_copy(w->arena, &m, sizeof m);
}

static const char *kalman_predict_check(const void *model)
{
    const struct kalman *m = model;
    if (m->forecast) return NULL;
    return "a kalman of form \"given\" predicts from " MODEL_LACKS_MEAN;
}

/* ---- state ---- */

static void *kalman_init(const void *model, int mode, struct model_memory *mem)
{
    const struct kalman *m = model;
    size_t n = m->n_states;
    struct kalman_state s = {.m = m};
    (void)mode;
    s.s = arena_doubles(mem->state, n);
    if (m->form == FORM_FULL) s.p = arena_doubles(mem->state, n * n);
    s.scratch = arena_doubles(mem->work, 4 * n * n + 2 * n);
    return arena_copy(mem->work, &s, sizeof s);
}

static void kalman_reset(void *state)
{
    struct kalman_state *s = state;
    const struct kalman *m = s->m;
    memset(s->s, 0, m->n_states * sizeof *s->s);
    if (m->start) memcpy(s->s, m->start, m->n_states * sizeof *s->s);
    if (s->p) memcpy(s->p, m->start_covariance, m->n_states * m->n_states * sizeof *s->p);
}

static void outputs_write(const struct kalman_state *s, struct model_out *out)
{
    const struct kalman *m = s->m;
    for (size_t i = 0; i < m->n_states; i++) out->latents[i] = (float)s->s[i];
    for (size_t o = 0; o < m->n_readout; o++) {
        double sum = m->readout ? m->readout_bias[o] : s->s[o];
        for (size_t i = 0; m->readout && i < m->n_states; i++)
            sum += m->readout[o * m->n_states + i] * s->s[i];
        out->readout[o] = (float)sum;
    }
}

/* y [S] = constant + gain^T counts, over the channels that fired */
static void counts_observe(const struct kalman *m, double *y, const float *counts)
{
    memcpy(y, m->constant, m->n_states * sizeof *y);
    for (size_t j = 0; j < m->n_channels; j++) {
        if (counts[j] == 0.0f) continue;
        const double *row = m->gain + j * m->n_states;
        for (size_t i = 0; i < m->n_states; i++) y[i] += row[i] * (double)counts[j];
    }
}

/* s = A s + constant */
static void state_advance(struct kalman_state *s, const double *a, const double *constant)
{
    size_t n = s->m->n_states;
    double *next = s->scratch;
    matrix_multiply(next, a, s->s, n, n, 1);
    for (size_t i = 0; i < n; i++) s->s[i] = next[i] + constant[i];
}

static void covariance_predict(struct kalman_state *s)
{
    const struct kalman *m = s->m;
    if (s->p) riccati_predict(s->p, m->transition, m->noise, m->n_states, s->scratch);
}

/* s- = A s; P = update(A P A^T + Q); s = s- + P (B (x - offset) - G s-) */
static void full_step(struct kalman_state *s, const double *observed)
{
    const struct kalman *m = s->m;
    size_t n = m->n_states;
    double *innovation = s->scratch + 3 * n * n, *gs = innovation + n; /* [S] each */

    state_advance(s, m->transition, m->forecast);        /* s- = A s */
    covariance_predict(s);                               /* P = A P A' + Q */
    riccati_update(s->p, m->information, n, s->scratch); /* P = (P^-1 + G)^-1 */
    matrix_multiply(gs, m->information, s->s, n, n, 1);  /* G s- */
    for (size_t i = 0; i < n; i++) innovation[i] = observed[i] - gs[i];
    matrix_multiply(gs, s->p, innovation, n, n, 1); /* P (B (x - offset) - G s-) */
    for (size_t i = 0; i < n; i++) s->s[i] += gs[i];
}

static void kalman_step(void *state, const float *counts, struct model_out *out)
{
    struct kalman_state *s = state;
    const struct kalman *m = s->m;
    size_t n = m->n_states;
    double *observed = s->scratch + 4 * n * n + n;
    counts_observe(m, observed, counts);
    if (m->form == FORM_FULL)
        full_step(s, observed);
    else
        state_advance(s, m->decay, observed);
    outputs_write(s, out);
}

static void kalman_predict(void *state, struct model_out *out)
{
    struct kalman_state *s = state;
    state_advance(s, s->m->transition, s->m->forecast);
    covariance_predict(s);
    outputs_write(s, out);
}

const struct model_ops kalman_ops = {
    .name = "kalman",
    .modes = kalman_modes,
    .load = kalman_load,
    .init = kalman_init,
    .reset = kalman_reset,
    .step = kalman_step,
    .predict = kalman_predict,
    .predict_check = kalman_predict_check,
};
