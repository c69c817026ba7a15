/* Weight matrices in the order in which the kernels read them. */
#ifndef LATENT_PANELS_H
#define LATENT_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/precision.h"

#define PANEL_UNIT 16 /* outputs side by side */

/* A matrix [rows, cols] in units of 16 rows (the last one filled up with zeros), each
 * of them column after column, so that a product reads memory strictly forward, sums
 * every output in column order, and may skip columns of zeros without changing a bit.
 *
 *   f32   float  [units][cols][16]
 *   bf16  uint16 [units][cols / 2][16][2]: two columns side by side, as in bf16_pair
 *   int8  int8   [units][cols / 2][16][2]; weight = scale[row] * stored
 *
 * An odd number of columns is filled up with zeros where they go in pairs. */
struct panels {
    size_t rows, cols;
    enum precision precision;
    const void *data;
    const float *scale; /* [rows, rounded up to 16], int8 only */
    const float *bias;  /* [rows, rounded up to 16] or NULL */
};

/* Pack weight [rows, cols] (row-major) and a copy of bias [rows] (or NULL) into a, in
 * float32. From a counting arena the pointers are NULL. */
struct panels panels_pack(struct arena *a, size_t rows, size_t cols, const float *weight,
                          const float *bias);
/* The same in any precision: bf16 rounds to the nearest, ties to even; int8 scales each
 * row by its largest magnitude. */
struct panels panels_pack_as(struct arena *a, enum precision precision, size_t rows, size_t cols,
                             const float *weight, const float *bias);
/* Columns first .. first + n - 1 of weight [rows, cols]. */
struct panel_source {
    const float *weight;
    size_t rows, cols, first, n;
};

/* Those columns alone, each weight as it is in the whole matrix: an int8 row has one scale. */
struct panels panels_pack_columns(struct arena *a, enum precision precision,
                                  const struct panel_source *from, const float *bias);
size_t panels_padded(size_t rows); /* rows, rounded up to 16 */

/* float32 to bfloat16, the nearest, ties to even; x is finite. */
uint16_t bf16_round(float x);
float bf16_float(uint16_t x);
/* Two weights in 32 bits. The first, in the low half, is read exactly. The second is
 * read as all 32 bits of a float32: the first one's bits stand behind its own, which
 * are chosen so that this is at most half a step from the nearest bfloat16 (which a
 * file that stores bfloat16 holds); masking them would cost time. */
uint32_t bf16_pair(float first, float second);
float bf16_pair_first(uint32_t pair);
float bf16_pair_second(uint32_t pair);

#endif
