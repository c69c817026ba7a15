/* The newest rows of a stream, as a ring: row t stays until row t + n_rows comes. */
#ifndef LATENT_WINDOW_H
#define LATENT_WINDOW_H

#include <stdint.h>

#include "base/arena.h"

struct window {
    size_t n_rows, width;
    float *rows; /* [n_rows, width] */
};

static inline void window_init(struct window *w, size_t n_rows, size_t width, struct arena *state)
{
    *w = (struct window){n_rows, width, arena_floats(state, n_rows * width)};
}

/* Row of bin number t. */
static inline float *window_row(const struct window *w, uint64_t t)
{
    return w->rows + t % w->n_rows * w->width;
}

#endif
