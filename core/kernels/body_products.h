/* Products of matrices in units of 16 outputs with one or more rows of inputs, cut into tiles.
 * Part of kernels_body.h.
 *
 * The inputs of int8 are rounded to 16 bits, 512 columns at a time, so that integer sums are
 * exact and cannot overflow: 512 x 127 x 32767 < 2^31. */
#ifndef LATENT_BODY_PRODUCTS_H
#define LATENT_BODY_PRODUCTS_H

/* n things in as few groups of at most `most` as there can be, alike in size: the size
 * of the next one. */
static size_t group_size(size_t n, size_t most)
{
    size_t groups = (n + most - 1) / most;
    return (n + groups - 1) / groups;
}

/* All tiles of n rows. Units outside, so that weights stay in the cache over the rows. */
static void task_run(enum precision precision, const struct task *t, size_t n)
{
    static void (*const tiles[N_PRECISIONS])(size_t, size_t, const struct task *, size_t,
                                             size_t) = {tile_any_f32, tile_any_bf16, tile_any_int8};
    if (!n) return;
    size_t n_units = panels_padded(t->n_out) / PANEL_UNIT;
    bool is_bf16 = precision == PRECISION_BF16; /* a pair's halves take registers */
    size_t m = group_size(n, TILE_ROWS - is_bf16);
    size_t spare = !is_bf16 ? 0 : m > 1 ? 4 : 2;
    size_t most = (TILE_VECTORS - spare) / (m * UNIT_VECTORS);
    if (most > MOST_UNITS) most = MOST_UNITS;
    for (size_t unit = 0, units; unit < n_units; unit += units) {
        units = group_size(n_units - unit, most);
        for (size_t row = 0, rows; row < n; row += rows) {
            rows = group_size(n - row, m);
            tiles[precision](rows, units, t, row, unit);
        }
    }
}

/* The first n numbers of a row as 16-bit steps; returns their size. A row with a number
 * that is not finite gets the size NaN, so that the result shows it. */
static float row_quantise(int16_t *steps, const float *x, size_t n)
{
    int32_t most = 0; /* magnitudes compare as their bits do */
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    float size;
    memcpy(&size, &most, sizeof size);
    float inverse = size > 1e-30f ? 32767.0f / size : 0.0f;
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to the nearest */
    for (size_t i = 0; i < n; i++) steps[i] = (int16_t)(int32_t)(x[i] * inverse + shift - shift);
    if (n % 2) steps[n] = 0;
    return size - size == 0.0f ? size / 32767.0f : NAN;
}

/* The listed columns of [first, first + n): their number; *from: the first of them. */
static size_t index_part(const uint32_t *index, size_t n_index, size_t first, size_t n,
                         size_t *from)
{
    size_t end;
    while (*from < n_index && index[*from] < first) ++*from;
    for (end = *from; end < n_index && index[end] < first + n;) end++;
    return end - *from;
}

/* int8: up to TILE_ROWS rows, 512 columns at a time. */
static void task_run_int8(const struct task *whole, size_t n)
{
    int16_t steps[TILE_ROWS * SEGMENT];
    float step_size[TILE_ROWS];
    uint32_t index[SEGMENT];
    size_t from = 0;
    for (size_t first = 0; first < whole->n_in; first += SEGMENT) {
        struct task t = *whole;
        size_t left = whole->n_in - first;
        t.n_in = left < SEGMENT ? left : SEGMENT;
        t.x += first;
        t.data = (const int8_t *)t.data + first / 2 * t.column_stride;
        t.steps = steps;
        t.step_size = step_size;
        for (size_t r = 0; r < n; r++)
            step_size[r] = row_quantise(steps + r * SEGMENT, t.x + r * t.x_stride, t.n_in);
        if (t.index) {
            t.n_index = index_part(whole->index, whole->n_index, first, t.n_in, &from);
            for (size_t i = 0; i < t.n_index; i++)
                index[i] = whole->index[from + i] - (uint32_t)first;
            t.index = index;
        }
        if (first) t.bias = NULL, t.then |= PRODUCT_ADD;
        if (left > SEGMENT) t.then &= ~(unsigned)PRODUCT_RELU;
        task_run(PRECISION_INT8, &t, n);
    }
}

INLINE struct task task_of(const struct panels *w, float *y, size_t y_stride, const float *x,
                           size_t x_stride, unsigned then)
{
    size_t paired = w->precision != PRECISION_F32;
    size_t columns = paired ? (w->cols + 1) / 2 * 2 : w->cols;
    return (struct task){.y = y,
                         .y_stride = y_stride,
                         .n_out = w->rows,
                         .data = w->data,
                         .unit_stride = columns * PANEL_UNIT,
                         .column_stride = PANEL_UNIT << paired,
                         .x = x,
                         .x_stride = x_stride,
                         .n_in = w->cols,
                         .bias = w->bias,
                         .scale = w->scale,
                         .then = then};
}

static void panels_run(const struct panels *w, struct task *t, size_t n)
{
    if (w->precision != PRECISION_INT8) {
        task_run(w->precision, t, n);
        return;
    }
    for (size_t row = 0, rows; row < n; row += rows) {
        rows = group_size(n - row, TILE_ROWS);
        task_run_int8(t, rows);
        t->x += rows * t->x_stride;
        t->y += rows * t->y_stride;
    }
}

static void matvec(float *y, const struct panels *w, const float *x)
{
    struct task t = task_of(w, y, 0, x, 0, 0);
    panels_run(w, &t, 1);
}

static void matvec_add(float *y, const struct panels *w, const float *x)
{
    struct task t = task_of(w, y, 0, x, 0, PRODUCT_ADD);
    panels_run(w, &t, 1);
}

static void matvec_sparse(float *y, const struct panels *w, const float *x, const uint32_t *index,
                          size_t n)
{
    struct task t = task_of(w, y, 0, x, 0, 0);
    t.index = index;
    t.n_index = n;
    panels_run(w, &t, 1);
}

static void matmul(float *y, size_t y_stride, const struct panels *w, const float *x,
                   size_t x_stride, size_t n, unsigned then)
{
    struct task t = task_of(w, y, y_stride, x, x_stride, then);
    panels_run(w, &t, n);
}

static void product(float *y, size_t y_stride, const struct tiles *m, const float *x,
                    size_t x_stride, size_t n)
{
    struct task t = {.y = y,
                     .y_stride = y_stride,
                     .n_out = m->n_out,
                     .data = m->data,
                     .unit_stride = m->unit_stride,
                     .column_stride = m->column_stride,
                     .x = x,
                     .x_stride = x_stride,
                     .n_in = m->n_in};
    task_run(PRECISION_F32, &t, n);
}

#endif
