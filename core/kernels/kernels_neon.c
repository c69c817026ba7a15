/* Kernels for 64-bit ARM. */
#if defined(__aarch64__)
#define VECTOR_BYTES 16
#define TILE_VECTORS 24
#define TILE_ROWS 6
#define KERNELS_NAME "neon"
#define KERNELS_TABLE kernels_neon
#define KERNELS_NEON
#include "kernels/kernels_body.h"
#endif
