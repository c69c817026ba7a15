/* What the loads of several kinds share. */
#include "layers/kind.h"

#include <stdio.h>
#include <string.h>

#include "layers/layers.h"

size_t kind_width(struct kind_load *l)
{
    return l->out->width = (size_t)fields_int(l->keys, "width", 1, SIGNAL_MAX_WIDTH);
}

void kind_recurrent(struct kind_load *l, struct panels *input, struct panels *recurrent, unsigned k,
                    size_t rows, size_t hidden)
{
    size_t n_in = k ? hidden : l->inputs[0].width;
    const float *ih = weights_matrix(l->w, rows, n_in, "%s.weight_ih_l%u", l->name, k);
    const float *hh = weights_matrix(l->w, rows, hidden, "%s.weight_hh_l%u", l->name, k);
    const float *b_ih = weights_floats(l->w, SHAPE(rows), "%s.bias_ih_l%u", l->name, k);
    const float *b_hh = weights_floats(l->w, SHAPE(rows), "%s.bias_hh_l%u", l->name, k);
    *input = panels_load(l->w, rows, n_in, ih, b_ih);
    *recurrent = panels_load(l->w, rows, hidden, hh, b_hh);
}

const float *kind_initial(struct kind_load *l, const char *what, size_t n_layers, size_t hidden)
{
    char name[SAFETENSORS_MAX_NAME + 1];
    snprintf(name, sizeof name, "%s.%s", l->name, what);
    return weights_has(l->w, name) ? weights_floats(l->w, SHAPE(n_layers, hidden), "%s", name)
                                   : NULL;
}

void kind_begin(float *h, size_t stride, const float *initial, size_t n_layers, size_t hidden)
{
    memset(h, 0, n_layers * stride * sizeof *h);
    for (size_t k = 0; initial && k < n_layers; k++)
        memcpy(h + k * stride, initial + k * hidden, hidden * sizeof *h);
}
