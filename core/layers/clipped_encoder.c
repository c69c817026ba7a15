/* Clipped GRUs over a window of kept input products. */
#include "layers/clipped_encoder.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void clipped_encoder_load(struct clipped_encoder *l, struct weights *w, size_t n_in, size_t hidden,
                          size_t n_directions, float clip, const char *name)
{
    assert(n_directions == 1 || n_directions == 2);
    l->n_in = n_in;
    l->hidden = hidden;
    l->n_directions = n_directions;
    l->start = weights_floats(w, SHAPE(n_directions, 1, hidden), "%s_h0", name);
    for (size_t d = 0; d < n_directions; d++) {
        char prefix[96];
        snprintf(prefix, sizeof prefix, "%s.%s_gru.cell", name, d ? "bwd" : "fwd");
        clipped_gru_load(&l->cell[d], w, n_in, hidden, clip, prefix);
        l->input[d] = clipped_gru_input(&l->cell[d], w, 0, n_in, l->cell[d].bias);
    }
}

const float *clipped_encoder_start(const struct clipped_encoder *l, enum encoder_direction d)
{
    return l->start + (size_t)d * l->hidden;
}

void encoder_window_init(struct encoder_window *e, const struct clipped_encoder *l, size_t n_rows,
                         struct arena *state)
{
    for (size_t d = 0; d < l->n_directions; d++)
        window_init(&e->products[d], n_rows, 3 * l->cell[d].size, state);
}

void encoder_window_push(struct encoder_window *e, const struct clipped_encoder *l, uint64_t t,
                         const float *x, const uint32_t *index, size_t n)
{
    const struct kernels *k = kernels_get();
    for (size_t d = 0; d < l->n_directions; d++)
        k->matvec_sparse(window_row(&e->products[d], t), &l->input[d], x, index, n);
}

void encoder_window_run(const struct encoder_window *e, const struct clipped_encoder *l,
                        enum encoder_direction d, uint64_t first, size_t n, float *h, float *states,
                        size_t stride, float *scratch)
{
    size_t size = l->hidden * sizeof *h;
    memcpy(h, clipped_encoder_start(l, d), size);
    for (size_t k = 0; k < n; k++) {
        size_t i = d == ENCODER_FORWARD ? k : n - 1 - k;
        const float *given = window_row(&e->products[d], first + i);
        clipped_gru_forward(&l->cell[d], h, given, scratch);
        if (states) memcpy(states + i * stride, h, size);
    }
}
