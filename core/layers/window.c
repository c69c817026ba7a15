/* The newest rows of a stream, as a ring. */
#include "layers/window.h"

void window_init(struct window *w, size_t n_rows, size_t width, struct arena *state)
{
    w->n_rows = n_rows;
    w->width = width;
    w->rows = arena_floats(state, n_rows * width);
}

float *window_row(const struct window *w, uint64_t t)
{
    return w->rows + t % w->n_rows * w->width;
}
