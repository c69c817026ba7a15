/* ReFIT Kalman filter (Gilja et al. 2012): a velocity filter that knows where the cursor is,
 * because it put it there.
 *
 *   v_t = A v_t-1 + K (x_t - offset - C_p p_t-1 - C_v A v_t-1)
 *   p_t = p_t-1 + bin v_t, held inside the workspace
 *
 * The position is an exact regressor: it enters the observation, never the covariance, so the
 * gain is the steady one of (A, C_v, Q, R). Velocities are per second.
 *
 * Streaming: exact. Latents and readout: p, then v (D each). State: 2 D numbers.
 * Multiply-adds per bin: D C' (C' the non-zero channels) + 3 D^2. float64 inside.
 * predict: v = A v, p moves on. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "layers/matrix.h"
#include "layers/riccati.h"
#include "models/model.h"

#define MAX_DIMS 16

static const struct latent_mode refit_modes[] = {{.name = "causal"}, {0}};

struct refit {
    size_t n_channels, n_dims; /* C, D */
    double bin_s;
    const double *transition; /* A [D, D] */
    const double *gain;       /* K' [C, D] */
    const double *decay;      /* A - K C_v A [D, D] */
    const double *place;      /* K C_p [D, D] */
    const double *constant;   /* -K offset [D] */
    const double *start;      /* p of a fresh decoder [D] */
    const double *low, *high; /* workspace [D] */
};

struct refit_state {
    const struct refit *m;
    double *p, *v; /* [D] */
    double *next;  /* [D] */
};

/* ---- load ---- */

/* What the gain is made of. */
struct observation {
    const double *velocity, *position; /* C_v, C_p [C, D] */
    const double *noise, *r, *offset;  /* Q [D, D], R [C, C], offset [C] */
};

/* What a bin needs, in the model's arena. */
struct correction {
    double *gain;          /* [C, D] */
    double *decay, *place; /* [D, D] */
    double *constant;      /* [D] */
};

/* y [D, columns] = K x, x [C, columns] */
static void gain_apply(const double *gain, size_t n_channels, size_t n, double *y, const double *x,
                       size_t columns)
{
    memset(y, 0, n * columns * sizeof *y);
    for (size_t k = 0; k < n_channels; k++)
        for (size_t i = 0; i < n; i++)
            for (size_t c = 0; c < columns; c++)
                y[i * columns + c] += gain[k * n + i] * x[k * columns + c];
}

/* gain = R^-1 C_v P, P the Riccati recursion's fixed point. NULL, or what is wrong. */
static const char *gain_settle(const struct refit *m, const struct observation *o, double *gain,
                               struct arena *work)
{
    size_t n = m->n_dims, channels = m->n_channels;
    double *b = arena_doubles(work, channels * n);
    double *g = arena_doubles(work, n * n), *p = arena_doubles(work, n * n);
    double *big = arena_doubles(work, channels * channels);
    if (riccati_observe(b, g, o->velocity, o->r, channels, n, big))
        return "tensor \"R\": expected a positive definite covariance, found one that is not; "
               "add a small value to its diagonal (silent channels have no variance)";
    if (riccati_settle(p, m->transition, o->noise, g, n, arena_doubles(work, RICCATI_SCRATCH(n))))
        return "tensors \"A\", \"C.velocity\", \"Q\", \"R\": the Riccati recursion does not "
               "settle; check that every velocity is observed or damped";
    matrix_multiply(gain, b, p, channels, n, n);
    return NULL;
}

/* K C_p, A - K C_v A and -K offset, from the gain. */
static void correction_form(const struct refit *m, const struct observation *o,
                            struct correction *c, struct arena *work)
{
    size_t n = m->n_dims, channels = m->n_channels;
    double *seen = arena_doubles(work, n * n);
    gain_apply(c->gain, channels, n, c->place, o->position, n);
    gain_apply(c->gain, channels, n, c->constant, o->offset, 1);
    gain_apply(c->gain, channels, n, seen, o->velocity, n);
    matrix_multiply(c->decay, seen, m->transition, n, n, n);
    for (size_t i = 0; i < n * n; i++) c->decay[i] = m->transition[i] - c->decay[i];
    for (size_t i = 0; i < n; i++) c->constant[i] = -c->constant[i];
}

static void correction_load(struct refit *m, struct weights *w, const struct observation *o)
{
    size_t n = m->n_dims, channels = m->n_channels;
    struct correction c = {.gain = arena_doubles(w->arena, channels * n),
                           .decay = arena_doubles(w->arena, n * n),
                           .place = arena_doubles(w->arena, n * n),
                           .constant = arena_doubles(w->arena, n)};
    struct arena work = {0};
    m->gain = c.gain;
    m->decay = c.decay;
    m->place = c.place;
    m->constant = c.constant;
    if (!c.gain || w->status) return; /* only counting, or a tensor is missing */

    size_t size = channels * channels + channels * n + 6 * n * n;
    if (arena_new(&work, size * sizeof(double) + 8 * ARENA_ALIGN)) {
        w->status = error_set(w->err, LATENT_E_NOMEM, "refit: no memory for the gain");
        return;
    }
    const char *reason = gain_settle(m, o, c.gain, &work);
    if (reason) w->status = error_set(w->err, LATENT_E_TENSOR, "%s", reason);
    if (!reason) correction_form(m, o, &c, &work);
    arena_free(&work);
}

static void workspace_load(struct refit *m, struct weights *w)
{
    size_t n = m->n_dims;
    m->start = weights_doubles(w, SHAPE(n), "p0");
    m->low = weights_doubles(w, SHAPE(n), "position.min");
    m->high = weights_doubles(w, SHAPE(n), "position.max");
    for (size_t i = 0; m->high && !w->status && i < n; i++)
        if (!(m->low[i] <= m->start[i] && m->start[i] <= m->high[i]))
            w->status = error_set(w->err, LATENT_E_TENSOR,
                                  "tensor \"p0\": expected a start inside position.min and "
                                  "position.max (%g to %g), found %g at [%zu]",
                                  m->low[i], m->high[i], m->start[i], i);
}

static void *refit_load(struct weights *w, struct fields *c, struct model_dims *dims)
{
    struct refit m = {.n_channels = dims->n_channels, .bin_s = dims->bin_s};
    size_t channels = m.n_channels, n = m.n_dims = weights_axis(w, "A", 0, MAX_DIMS);
    (void)c;
    m.transition = weights_doubles(w, SHAPE(n, n), "A");
    struct observation o = {
        .velocity = weights_doubles(w, SHAPE(channels, n), "C.velocity"),
        .position = weights_doubles(w, SHAPE(channels, n), "C.position"),
        .noise = weights_doubles(w, SHAPE(n, n), "Q"),
        .r = weights_doubles(w, SHAPE(channels, channels), "R"),
        .offset = weights_doubles(w, SHAPE(channels), "offset"),
    };
    workspace_load(&m, w);
    correction_load(&m, w, &o);
    dims->n_latents = dims->n_readout = 2 * n;
    return arena_copy(w->arena, &m, sizeof m);
}

/* ---- state ---- */

static void *refit_init(const void *model, int mode, struct model_memory *mem)
{
    const struct refit *m = model;
    struct refit_state s = {.m = m};
    (void)mode;
    s.p = arena_doubles(mem->state, m->n_dims);
    s.v = arena_doubles(mem->state, m->n_dims);
    s.next = arena_doubles(mem->work, m->n_dims);
    return arena_copy(mem->work, &s, sizeof s);
}

static void refit_reset(void *state)
{
    struct refit_state *s = state;
    memcpy(s->p, s->m->start, s->m->n_dims * sizeof *s->p);
    memset(s->v, 0, s->m->n_dims * sizeof *s->v);
}

/* ---- one bin ---- */

/* The cursor moves with the new velocity `next`; what was decoded is shown. */
static void cursor_move(struct refit_state *s, struct model_out *out)
{
    const struct refit *m = s->m;
    size_t n = m->n_dims;
    for (size_t i = 0; i < n; i++) {
        s->v[i] = s->next[i];
        s->p[i] = fmin(fmax(s->p[i] + m->bin_s * s->v[i], m->low[i]), m->high[i]);
        out->latents[i] = (float)s->p[i];
        out->latents[n + i] = (float)s->v[i];
    }
    memcpy(out->readout, out->latents, 2 * n * sizeof *out->readout);
}

static void refit_step(void *state, const float *counts, struct model_out *out)
{
    struct refit_state *s = state;
    const struct refit *m = s->m;
    size_t n = m->n_dims;
    matrix_multiply(s->next, m->decay, s->v, n, n, 1); /* (A - K C_v A) v */
    for (size_t i = 0; i < n; i++) {
        s->next[i] += m->constant[i];                                               /* - K offset */
        for (size_t j = 0; j < n; j++) s->next[i] -= m->place[i * n + j] * s->p[j]; /* - K C_p p */
    }
    for (size_t k = 0; k < m->n_channels; k++) {
        if (counts[k] == 0.0f) continue;
        for (size_t i = 0; i < n; i++)
            s->next[i] += m->gain[k * n + i] * (double)counts[k]; /* K x */
    }
    cursor_move(s, out);
}

static void refit_predict(void *state, struct model_out *out)
{
    struct refit_state *s = state;
    size_t n = s->m->n_dims;
    matrix_multiply(s->next, s->m->transition, s->v, n, n, 1);
    cursor_move(s, out);
}

const struct model_ops refit_ops = {
    .name = "refit",
    .modes = refit_modes,
    .load = refit_load,
    .init = refit_init,
    .reset = refit_reset,
    .step = refit_step,
    .predict = refit_predict,
};
