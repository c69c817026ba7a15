/* Tiles of a product: m rows of inputs times u units of 16 outputs, all their sums in
 * registers. Part of kernels_body.h.
 *
 * Every sum runs over the columns in order, whatever the tile, so that results do not
 * depend on it. Precisions other than float32 widen the weights as they are read. */
#ifndef LATENT_BODY_TILES_H
#define LATENT_BODY_TILES_H

#define SEGMENT 512
#define MOST_UNITS 6 /* of a tile */

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
#define TILE_VISIT(LOAD, USE)                                                          \
    if (m > width) {                                                                   \
        for (int k = 0; k < width; k++) LOAD;                                          \
        for (int r = 0; r < m; r++)                                                    \
            for (int k = 0; k < width; k++) USE;                                       \
    } else                                                                             \
        for (int k = 0; k < width; k++) {                                              \
            LOAD;                                                                      \
            for (int r = 0; r < m; r++) USE;                                           \
        }

/* Where vector k of a column lies, counted in weights of which `step` lie in a lane. */
INLINE size_t vector_at(const struct task *t, int k, size_t step)
{
    return (size_t)(k / UNIT_VECTORS) * t->unit_stride +
           (size_t)(k % UNIT_VECTORS) * LANES * step;
}

/* acc [m][units][UNIT_VECTORS] += the columns. m, units and sparse are constants after
 * inlining, in all that follows. */
INLINE void tile_f32(const int m, const int units, const int sparse, vec *acc,
                     const struct task *t, size_t row, size_t unit)
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

INLINE vec second_half(ivec w)
{
    return (vec)(w & (int32_t)0xffff0000);
}

/* Column c alone: one half of its pair. */
INLINE void column_bf16(const int m, const int width, vec *acc, const struct task *t,
                        const uint16_t *data, const float *x, size_t c)
{
    const uint16_t *column = data + c / 2 * t->column_stride;
    for (int k = 0; k < width; k++) {
        ivec both = halves_load(column + vector_at(t, k, 2));
        vec w = c % 2 ? second_half(both) : first_half(both);
        for (int r = 0; r < m; r++)
            acc[r * width + k] += x[(size_t)r * t->x_stride + c] * w;
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
                   sum[r * width + k] = pairs_multiply_add(
                       sum[r * width + k], w[k], pair_set(given + r * SEGMENT)))
    }
    for (int s = 0; s < m * width; s++) acc[s] = __builtin_convertvector(sum[s], vec);
}

/* One vector of sums of outputs o..o + LANES - 1 of a row: scaled, with its bias, as
 * `then` says, into y. */
INLINE void vector_finish(const struct task *t, size_t row, size_t o, vec v)
{
    float *y = t->y + row * t->y_stride + o;
    size_t n = t->n_out - o;
    if (t->scale) v = v * vec_load(t->scale + o) * t->step_size[row];
    if (t->bias) v += vec_load(t->bias + o);
    if (t->then & PRODUCT_ADD)
        v += n >= LANES ? vec_load(y) : vec_load_part(y, n, 0.0f);
    if (t->then & PRODUCT_RELU) v = vec_select(v < vec_set(0.0f), vec_set(0.0f), v);
    if (n >= LANES)
        vec_store(y, v);
    else
        vec_store_part(y, v, n);
}

INLINE void tile_run(enum precision precision, const int m, const int units,
                     const int sparse, const struct task *t, size_t row, size_t unit)
{
    vec acc[TILE_VECTORS];
    for (int s = 0; s < m * units * UNIT_VECTORS; s++) acc[s] = (vec){0};
    if (precision == PRECISION_F32) tile_f32(m, units, sparse, acc, t, row, unit);
    if (precision == PRECISION_BF16) tile_bf16(m, units, sparse, acc, t, row, unit);
    if (precision == PRECISION_INT8) tile_int8(m, units, sparse, acc, t, row, unit);
    for (int r = 0; r < m; r++)
        for (int k = 0; k < units * UNIT_VECTORS; k++) {
            size_t o = unit * PANEL_UNIT + (size_t)k * LANES;
            if (o >= t->n_out) break;
            vector_finish(t, row + (size_t)r, o, acc[r * units * UNIT_VECTORS + k]);
        }
}

/* The tiles that fit into the registers; others are never asked for. */
#define TILE(m, units)                                                                 \
    case (m)*MOST_UNITS + (units):                                                     \
        if ((m) * (units)*UNIT_VECTORS <= TILE_VECTORS)                                \
            tile_run(precision, m, units, 0, t, row, unit);                            \
        break;
#define TILE_SPARSE(units)                                                             \
    case units:                                                                        \
        if ((units)*UNIT_VECTORS <= TILE_VECTORS)                                      \
            tile_run(precision, 1, units, 1, t, row, unit);                            \
        break;

INLINE void tile_any(enum precision precision, size_t m, size_t units,
                     const struct task *t, size_t row, size_t unit)
{
    if (t->index) switch (units) {
            TILE_SPARSE(1)
            TILE_SPARSE(2)
            TILE_SPARSE(3)
            TILE_SPARSE(4)
            TILE_SPARSE(5)
            TILE_SPARSE(6)
        }
    else
        switch (m * MOST_UNITS + units) {
            TILE(1, 1)
            TILE(1, 2)
            TILE(1, 3)
            TILE(1, 4)
            TILE(1, 5)
            TILE(1, 6)
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

static void tile_any_f32(size_t m, size_t units, const struct task *t, size_t row,
                         size_t unit)
{
    tile_any(PRECISION_F32, m, units, t, row, unit);
}

static void tile_any_bf16(size_t m, size_t units, const struct task *t, size_t row,
                          size_t unit)
{
    tile_any(PRECISION_BF16, m, units, t, row, unit);
}

static void tile_any_int8(size_t m, size_t units, const struct task *t, size_t row,
                          size_t unit)
{
    tile_any(PRECISION_INT8, m, units, t, row, unit);
}

#endif
