/* Kernels for any machine: 16-byte vectors, which the compiler breaks up where there are none. */
#define VECTOR_BYTES 16
#define TILE_VECTORS 12
#define TILE_ROWS 3
#define KERNELS_NAME "plain"
#define KERNELS_TABLE kernels_plain
#include "kernels/kernels_body.h"
