/* Causal convolution: the window of the newest bins as one vector, the taps as one matrix. */
#include "layers/conv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_WIDTH 4096
#define MAX_TAPS 256

/* torch's [out, in, tap] as [out, tap, in]; a counting arena gives NULL. */
static const float *taps_first(struct weights *w, const struct conv *l, const float *weight)
{
    float *taps = arena_floats(w->arena, l->n_out * l->n_taps * l->n_in);
    if (!taps || !weight) return NULL;
    for (size_t o = 0; o < l->n_out; o++)
        for (size_t i = 0; i < l->n_in; i++)
            for (size_t k = 0; k < l->n_taps; k++) /* [o, k, i] = [o, i, k] */
                taps[(o * l->n_taps + k) * l->n_in + i] = weight[(o * l->n_in + i) * l->n_taps + k];
    return taps;
}

void conv_load(struct conv *l, struct weights *w, size_t n_out, size_t n_in, size_t n_taps,
               const char *name)
{
    *l = (struct conv){.n_out = n_out, .n_in = n_in, .n_taps = n_taps};
    const float *weight = weights_floats(w, SHAPE(n_out, n_in, n_taps), "%s.weight", name);
    const float *bias = weights_floats(w, SHAPE(n_out), "%s.bias", name);
    const float *taps = taps_first(w, l, weight);
    l->packed = panels_pack(w->arena, n_out, n_taps * n_in, taps, bias);
}

void conv_push(const struct conv *l, float *history, const float *x)
{
    size_t kept = (l->n_taps - 1) * l->n_in; /* floats of the bins that stay: all but the oldest */
    memmove(history, history + l->n_in, kept * sizeof *history);
    memcpy(history + kept, x, l->n_in * sizeof *x);
}

void conv_forward(const struct conv *l, float *y, const float *history, uint32_t *index)
{
    const struct kernels *k = kernels_get();
    if (index)
        k->matvec_sparse(y, &l->packed, history, index,
                         nonzero_index(index, history, l->n_taps * l->n_in));
    else
        k->matvec(y, &l->packed, history);
}

void gelu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * (float)M_SQRT1_2));
}

/* ---- encoder ---- */

static void layer_load(struct conv *l, struct weights *w, size_t n_in, const char *name)
{
    char weight[64];
    snprintf(weight, sizeof weight, "%s.weight", name);
    conv_load(l, w, weights_axis(w, weight, 0, MAX_WIDTH), n_in,
              weights_axis(w, weight, 2, MAX_TAPS), name);
}

void conv_encoder_load(struct conv_encoder *e, struct weights *w, size_t n_in, size_t n_latents)
{
    size_t taps = weights_axis(w, "mean_conv.weight", 2, MAX_TAPS);
    layer_load(&e->layers[0], w, n_in, "initial_stack.1");
    layer_load(&e->layers[1], w, e->layers[0].n_out, "initial_stack.4");
    conv_load(&e->mean, w, n_latents, e->layers[1].n_out, taps, "mean_conv");
    conv_load(&e->logvar, w, n_latents, e->layers[1].n_out, taps, "logvar_conv");
}

static size_t window_floats(const struct conv_encoder *e, size_t i)
{
    const struct conv *l = i < 2 ? &e->layers[i] : &e->mean;
    return l->n_taps * l->n_in;
}

void conv_encoder_carve(struct conv_encoder_state *s, const struct conv_encoder *e,
                        struct arena *state, struct arena *work)
{
    for (size_t i = 0; i < 3; i++) s->windows[i] = arena_floats(state, window_floats(e, i));
    for (size_t i = 0; i < 2; i++) s->hidden[i] = arena_floats(work, e->layers[i].n_out);
    s->mean = arena_floats(work, e->mean.n_out);
    s->logvar = arena_floats(work, e->mean.n_out);
    s->index = arena_take(work, window_floats(e, 0) * sizeof *s->index);
}

void conv_encoder_reset(struct conv_encoder_state *s, const struct conv_encoder *e)
{
    for (size_t i = 0; i < 3; i++) memset(s->windows[i], 0, window_floats(e, i) * sizeof(float));
}

void conv_encoder_forward(const struct conv_encoder *e, struct conv_encoder_state *s,
                          const float *x)
{
    conv_push(&e->layers[0], s->windows[0], x);                         /* [taps, C] */
    conv_forward(&e->layers[0], s->hidden[0], s->windows[0], s->index); /* [E1] */
    gelu(s->hidden[0], e->layers[0].n_out);
    conv_push(&e->layers[1], s->windows[1], s->hidden[0]);          /* [taps, E1] */
    conv_forward(&e->layers[1], s->hidden[1], s->windows[1], NULL); /* [E2] */
    gelu(s->hidden[1], e->layers[1].n_out);
    conv_push(&e->mean, s->windows[2], s->hidden[1]);         /* [taps, E2] */
    conv_forward(&e->mean, s->mean, s->windows[2], NULL);     /* [S] */
    conv_forward(&e->logvar, s->logvar, s->windows[2], NULL); /* [S] */
}

size_t conv_encoder_bins(const struct conv_encoder *e)
{
    return e->layers[0].n_taps + e->layers[1].n_taps + e->mean.n_taps - 2;
}
