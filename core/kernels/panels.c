/* Packing of weight matrices. */
#include "kernels/panels.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

size_t panels_padded(size_t rows)
{
    return (rows + PANEL_UNIT - 1) / PANEL_UNIT * PANEL_UNIT;
}

uint16_t bf16_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float bf16_float(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t bf16_pair(float first, float second)
{
    uint32_t low = bf16_round(first), high = bf16_round(second);
    bool is_zero = (high & 0x7fff) == 0;
    if (low > 0x7fff && !is_zero) high--;
    return high << 16 | low;
}

float bf16_pair_first(uint32_t pair)
{
    return bf16_float((uint16_t)pair);
}

float bf16_pair_second(uint32_t pair)
{
    float value;
    memcpy(&value, &pair, sizeof value);
    return value;
}

/* Where column c of the first row of a unit lies, counted in elements. */
static size_t column_offset(enum precision precision, size_t c)
{
    return precision == PRECISION_F32 ? c * PANEL_UNIT : c / 2 * 2 * PANEL_UNIT + c % 2;
}

static void row_pack_f32(float *to, const float *row, size_t cols)
{
    for (size_t c = 0; c < cols; c++) to[column_offset(PRECISION_F32, c)] = row[c];
}

static void row_pack_bf16(uint16_t *to, const float *row, size_t cols)
{
    for (size_t c = 0; c < cols; c += 2) {
        uint32_t pair = bf16_pair(row[c], c + 1 < cols ? row[c + 1] : 0.0f);
        memcpy(to + column_offset(PRECISION_BF16, c), &pair, sizeof pair);
    }
}

/* The scale of a whole row of n columns. */
static float row_scale(const float *row, size_t n)
{
    float most = 0.0f;
    for (size_t c = 0; c < n; c++) most = fmaxf(most, fabsf(row[c]));
    return most / 127.0f;
}

static void row_pack_int8(int8_t *to, const float *row, size_t cols, float scale)
{
    if (!(scale > 0.0f)) return; /* nothing but zeros: they are there already */
    for (size_t c = 0; c < cols; c++) {
        float steps = fminf(fmaxf(rintf(row[c] / scale), -127.0f), 127.0f);
        to[column_offset(PRECISION_INT8, c)] = (int8_t)steps;
    }
}

static void rows_pack(struct panels *w, void *data, float *scale, const struct panel_source *from)
{
    size_t columns = w->precision == PRECISION_F32 ? w->cols : (w->cols + 1) / 2 * 2;
    size_t stride = w->precision == PRECISION_F32 ? 1 : 2;
    for (size_t r = 0; r < w->rows; r++) {
        size_t at = r / PANEL_UNIT * PANEL_UNIT * columns + r % PANEL_UNIT * stride;
        const float *whole = from->weight + r * from->cols, *row = whole + from->first;
        if (w->precision == PRECISION_F32) row_pack_f32((float *)data + at, row, w->cols);
        if (w->precision == PRECISION_BF16) row_pack_bf16((uint16_t *)data + at, row, w->cols);
        if (w->precision == PRECISION_INT8) {
            scale[r] = row_scale(whole, from->cols);
            row_pack_int8((int8_t *)data + at, row, w->cols, scale[r]);
        }
    }
}

struct panels panels_pack_columns(struct arena *a, enum precision precision,
                                  const struct panel_source *from, const float *bias)
{
    static const size_t sizes[N_PRECISIONS] = {4, 2, 1};
    size_t rows = from->rows, padded = panels_padded(rows);
    struct panels w = {.rows = rows, .cols = from->n, .precision = precision};
    size_t columns = precision == PRECISION_F32 ? from->n : (from->n + 1) / 2 * 2;
    void *data = arena_take(a, padded * columns * sizes[precision]);
    float *scale = precision == PRECISION_INT8 ? arena_floats(a, padded) : NULL;
    float *own_bias = arena_floats(a, padded);
    if (own_bias && bias) memcpy(own_bias, bias, rows * sizeof *bias);
    w.data = data;
    w.scale = scale;
    w.bias = bias ? own_bias : NULL;
    if (data && from->weight) rows_pack(&w, data, scale, from);
    return w;
}

struct panels panels_pack_as(struct arena *a, enum precision precision, size_t rows, size_t cols,
                             const float *weight, const float *bias)
{
    const struct panel_source all = {weight, rows, cols, 0, cols};
    return panels_pack_columns(a, precision, &all, bias);
}

struct panels panels_pack(struct arena *a, size_t rows, size_t cols, const float *weight,
                          const float *bias)
{
    return panels_pack_as(a, PRECISION_F32, rows, cols, weight, bias);
}
