/* Several inputs into one, or a part of one: add, multiply, concat, glu, crop. */
#include <string.h>

#include "kernels/kernels.h"
#include "layers/kinds.h"

#define MAX_INPUTS 64

struct combine {
    size_t n_inputs, n; /* n: W */
    size_t widths[MAX_INPUTS];
};

static void *combine_copy(struct kind_load *l)
{
    struct combine c = {.n_inputs = l->n_inputs, .n = l->out->width};
    for (size_t i = 0; i < l->n_inputs; i++) c.widths[i] = l->inputs[i].width;
    return arena_copy(l->w->arena, &c, sizeof c);
}

void *equal_load(struct kind_load *l)
{
    for (size_t i = 1; i < l->n_inputs; i++)
        if (l->inputs[i].width != l->inputs[0].width)
            fields_refuse(l->keys, LATENT_E_CONFIG, "inputs",
                          "expected inputs of one width, found %zu and %zu", l->inputs[0].width,
                          l->inputs[i].width);
    return combine_copy(l);
}

void add_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct combine *c = layer;
    (void)memory;
    (void)due;
    memcpy(y, x[0], c->n * sizeof *y);
    for (size_t k = 1; k < c->n_inputs; k++)
        for (size_t i = 0; i < c->n; i++) y[i] += x[k][i];
}

void multiply_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct combine *c = layer;
    (void)memory;
    (void)due;
    memcpy(y, x[0], c->n * sizeof *y);
    for (size_t k = 1; k < c->n_inputs; k++)
        for (size_t i = 0; i < c->n; i++) y[i] *= x[k][i];
}

void *concat_load(struct kind_load *l)
{
    for (size_t i = 1; i < l->n_inputs; i++) l->out->width += l->inputs[i].width;
    return combine_copy(l);
}

void concat_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct combine *c = layer;
    (void)memory;
    (void)due;
    for (size_t k = 0; k < c->n_inputs; k++) {
        memcpy(y, x[k], c->widths[k] * sizeof *y);
        y += c->widths[k];
    }
}

/* The first half times the sigmoid of the second. */
void *glu_load(struct kind_load *l)
{
    size_t n_in = l->inputs[0].width;
    if (n_in % 2)
        fields_refuse(l->keys, LATENT_E_CONFIG, "inputs", "expected an even width, found %zu",
                      n_in);
    l->out->width = n_in > 1 ? n_in / 2 : 1;
    return combine_copy(l);
}

void glu_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct combine *c = layer;
    (void)memory;
    (void)due;
    memcpy(y, x[0] + c->n, c->n * sizeof *y);
    kernels_get()->sigmoid(y, c->n);
    for (size_t i = 0; i < c->n; i++) y[i] *= x[0][i];
}

/* Its first items do not exist: it says so, and copies the rest. */
void *crop_load(struct kind_load *l)
{
    uint64_t n = (uint64_t)fields_int(l->keys, "items", 1, SIGNAL_MAX_BINS);
    l->out->first += n * l->out->stride;
    return combine_copy(l);
}

void crop_step(const void *layer, void *memory, float *y, const float *const *x, bool due)
{
    const struct combine *c = layer;
    (void)memory;
    if (due) memcpy(y, x[0], c->n * sizeof *y);
}
