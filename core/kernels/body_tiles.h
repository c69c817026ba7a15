/* Tiles of a product: m rows of inputs times u units of 16 outputs, all their sums in registers.
 * Part of kernels_body.h.
 *
 * Every sum runs over the columns in order, whatever the tile, so that results do not depend on
 * it. Precisions other than float32 widen the weights as they are read. */
#ifndef LATENT_BODY_TILES_H
#define LATENT_BODY_TILES_H

#define SEGMENT 512
#define MOST_UNITS 7 /* of a tile */

struct task {
    float *y; /* [n, n_out] */
    size_t y_stride;
    size_t n_out;
    const void *data;                  /* of the weights, at their first column */
    size_t unit_stride, column_stride; /* elements; a column may be a pair of columns */
    const float *x;                    /* [n, n_in] */
    size_t x_stride, n_in;
    const uint32_t *index; /* columns to visit [n_index]; NULL: all */
    size_t n_index;
    const float *bias, *scale; /* as in struct panels */
    unsigned then;             /* enum product_then */
    const int16_t *steps;      /* int8: x [n, SEGMENT] = steps * step_size[row] */
    const float *step_size;    /* [n] */
};

/* Visit every sum of a tile: inputs outside when they are the more, since what is
 * outside must stay in registers. w [width] are the weights, LOAD fills w[k], USE adds
 * to sum number r * width + k. */
#define TILE_VISIT(LOAD, USE)                    \
    if (m > width) {                             \
        for (int k = 0; k < width; k++) LOAD;    \
        for (int r = 0; r < m; r++)              \
            for (int k = 0; k < width; k++) USE; \
    } else                                       \
        for (int k = 0; k < width; k++) {        \
            LOAD;                                \
            for (int r = 0; r < m; r++) USE;     \
        }

/* Where vector k of a column lies, counted in weights of which `step` lie in a lane. */
INLINE size_t vector_at(const struct task *t, int k, size_t step)
{
    return (size_t)(k / UNIT_VECTORS) * t->unit_stride + (size_t)(k % UNIT_VECTORS) * LANES * step;
}

/* acc [m][units][UNIT_VECTORS] += the columns. m, units and sparse are constants after
 * inlining, in all that follows. */
INLINE void tile_f32(const int m, const int units, const int sparse, vec *acc, const struct task *t,
                     size_t row, size_t unit)
{
    const int width = units * UNIT_VECTORS;
    const float *data = (const float *)t->data + unit * t->unit_stride;
    const float *x = t->x + row * t->x_stride;
    size_t n = sparse ? t->n_index : t->n_in;
    for (size_t i = 0; i < n; i++) {
        size_t c = sparse ? t->index[i] : i;
        const float *column = data + c * t->column_stride;
        vec w[TILE_VECTORS];
        TILE_VISIT(w[k] = vec_load(column + vector_at(t, k, 1)),
                   acc[r * width + k] += x[(size_t)r * t->x_stride + c] * w[k])
    }
}

INLINE ivec halves_load(const uint16_t *p)
{
    return *(const ivec_any *)(const void *)p;
}

INLINE vec first_half(ivec w)
{
    return (vec)(w << 16);
}

/* Not masked: see bf16_pair. */
INLINE vec second_half(ivec w)
{
    return (vec)w;
}

/* Column c alone: one half of its pair. */
INLINE void column_bf16(const int m, const int width, vec *acc, const struct task *t,
                        const uint16_t *data, const float *x, size_t c)
{
    const uint16_t *column = data + c / 2 * t->column_stride;
    for (int k = 0; k < width; k++) {
        ivec both = halves_load(column + vector_at(t, k, 2));
        vec w = c % 2 ? second_half(both) : first_half(both);
        for (int r = 0; r < m; r++) acc[r * width + k] += x[(size_t)r * t->x_stride + c] * w;
    }
}

INLINE void tile_bf16(const int m, const int units, const int sparse, vec *acc,
                      const struct task *t, size_t row, size_t unit)
{
    const int width = units * UNIT_VECTORS;
    const uint16_t *data = (const uint16_t *)t->data + unit * t->unit_stride;
    const float *x = t->x + row * t->x_stride;
    for (size_t i = 0; sparse && i < t->n_index; i++)
        column_bf16(m, width, acc, t, data, x, t->index[i]);
    if (sparse) return;
    for (size_t c = 0; c + 2 <= t->n_in; c += 2) {
        const uint16_t *column = data + c / 2 * t->column_stride;
        vec w[2 * TILE_VECTORS];
        TILE_VISIT(({
                       ivec both = halves_load(column + vector_at(t, k, 2));
                       w[2 * k] = first_half(both);
                       w[2 * k + 1] = second_half(both);
                   }),
                   ({
                       const float *pair = x + (size_t)r * t->x_stride + c;
                       acc[r * width + k] += pair[0] * w[2 * k];
                       acc[r * width + k] += pair[1] * w[2 * k + 1];
                   }))
    }
    if (t->n_in % 2) column_bf16(m, width, acc, t, data, x, t->n_in - 1);
}

/* Both numbers of a pair in every 32 bits. */
INLINE pairs pair_set(const int16_t *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return (pairs)(both - (ivec){0});
}

/* A sparse visit of one column lets the other one of the pair count as zero. */
INLINE void tile_int8(const int m, const int units, const int sparse, vec *acc,
                      const struct task *t, size_t row, size_t unit)
{
    const int width = units * UNIT_VECTORS;
    const int8_t *data = (const int8_t *)t->data + unit * t->unit_stride;
    const int16_t *x = t->steps + row * SEGMENT;
    size_t n = sparse ? t->n_index : (t->n_in + 1) / 2;
    ivec sum[TILE_VECTORS];
    for (int s = 0; s < m * width; s++) sum[s] = (ivec){0};
    for (size_t i = 0; i < n; i++) {
        size_t pair = sparse ? t->index[i] / 2 : i;
        int16_t alone[2] = {0, 0};
        if (sparse) alone[t->index[i] % 2] = x[t->index[i]];
        const int16_t *given = sparse ? alone : x + 2 * pair;
        const int8_t *column = data + pair * t->column_stride;
        pairs w[TILE_VECTORS];
        TILE_VISIT(w[k] = pairs_load(column + vector_at(t, k, 2)),
                   sum[r * width + k] =
                       pairs_multiply_add(sum[r * width + k], w[k], pair_set(given + r * SEGMENT)))
    }
    for (int s = 0; s < m * width; s++) acc[s] = __builtin_convertvector(sum[s], vec);
}

/* Visit every output of a tile: WHOLE, or PART where fewer than LANES are left. */
#define TILE_OUTPUTS(WHOLE, PART)                                            \
    for (int r = 0; r < m; r++)                                              \
        for (int k = 0; k < width; k++) {                                    \
            float *at = y + (size_t)r * stride + k * LANES;                  \
            size_t left = n > (size_t)k * LANES ? n - (size_t)k * LANES : 0; \
            if (left >= LANES)                                               \
                WHOLE;                                                       \
            else if (left)                                                   \
                PART;                                                        \
        }

/* The sums acc [m][width] of a tile, scaled, with their bias, as `then` says, into y.
 * Rows of bias and scale are whole units; those of y may end within the tile. */
INLINE void tile_finish(const int m, const int width, vec *acc, const struct task *t, size_t row,
                        size_t first)
{
    float *y = t->y + row * t->y_stride + first;
    const size_t n = t->n_out - first, stride = t->y_stride;
    for (int r = 0; t->scale && r < m; r++)
        for (int k = 0; k < width; k++)
            acc[r * width + k] *=
                vec_load(t->scale + first + k * LANES) * t->step_size[row + (size_t)r];
    for (int k = 0; t->bias && k < width; k++)
        for (int r = 0; r < m; r++) acc[r * width + k] += vec_load(t->bias + first + k * LANES);
    if (t->then & PRODUCT_ADD)
        TILE_OUTPUTS(acc[r * width + k] += vec_load(at),
                     acc[r * width + k] += vec_load_part(at, left))
    for (int s = 0; t->then & PRODUCT_RELU && s < m * width; s++)
        acc[s] = vec_select(acc[s] < vec_set(0.0f), vec_set(0.0f), acc[s]);
    TILE_OUTPUTS(vec_store(at, acc[r * width + k]), vec_store_part(at, acc[r * width + k], left))
}

INLINE void tile_run(enum precision precision, const int m, const int units, const int sparse,
                     const struct task *t, size_t row, size_t unit)
{
    vec acc[TILE_VECTORS];
    for (int s = 0; s < m * units * UNIT_VECTORS; s++) acc[s] = (vec){0};
    if (precision == PRECISION_F32) tile_f32(m, units, sparse, acc, t, row, unit);
    if (precision == PRECISION_BF16) tile_bf16(m, units, sparse, acc, t, row, unit);
    if (precision == PRECISION_INT8) tile_int8(m, units, sparse, acc, t, row, unit);
    tile_finish(m, units * UNIT_VECTORS, acc, t, row, unit * PANEL_UNIT);
}

/* The tiles that fit into the registers; others are never asked for. */
#define TILE(m, units)                                      \
    case (m)*MOST_UNITS + (units):                          \
        if ((m) * (units)*UNIT_VECTORS <= TILE_VECTORS)     \
            tile_run(precision, m, units, 0, t, row, unit); \
        break;
#define TILE_SPARSE(units)                                                                        \
    case units:                                                                                   \
        if ((units)*UNIT_VECTORS <= TILE_VECTORS) tile_run(precision, 1, units, 1, t, row, unit); \
        break;

INLINE void tile_any(enum precision precision, size_t m, size_t units, const struct task *t,
                     size_t row, size_t unit)
{
    if (t->index) switch (units) {
            TILE_SPARSE(1)
            TILE_SPARSE(2)
            TILE_SPARSE(3)
            TILE_SPARSE(4)
            TILE_SPARSE(5)
            TILE_SPARSE(6)
            TILE_SPARSE(7)
        }
    else
        switch (m * MOST_UNITS + units) {
            TILE(1, 1)
            TILE(1, 2)
            TILE(1, 3)
            TILE(1, 4)
            TILE(1, 5)
            TILE(1, 6)
            TILE(1, 7)
            TILE(2, 1)
            TILE(2, 2)
            TILE(2, 3)
            TILE(2, 4)
            TILE(2, 5)
            TILE(2, 6)
            TILE(3, 1)
            TILE(3, 2)
            TILE(3, 3)
            TILE(3, 4)
            TILE(4, 1)
            TILE(4, 2)
            TILE(4, 3)
            TILE(5, 1)
            TILE(5, 2)
            TILE(6, 1)
            TILE(6, 2)
        }
}

static void tile_any_f32(size_t m, size_t units, const struct task *t, size_t row, size_t unit)
{
    tile_any(PRECISION_F32, m, units, t, row, unit);
}

static void tile_any_bf16(size_t m, size_t units, const struct task *t, size_t row, size_t unit)
{
    tile_any(PRECISION_BF16, m, units, t, row, unit);
}

static void tile_any_int8(size_t m, size_t units, const struct task *t, size_t row, size_t unit)
{
    tile_any(PRECISION_INT8, m, units, t, row, unit);
}

#endif
