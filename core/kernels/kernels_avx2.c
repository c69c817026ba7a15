/* Kernels for x86-64 with AVX2 and fused multiply-add. */
#if defined(__x86_64__)
#define VECTOR_BYTES 32
#define TILE_VECTORS 14
#define TILE_ROWS 6
#define KERNELS_NAME "avx2"
#define KERNELS_TABLE kernels_avx2
#include "kernels/kernels_body.h"
#endif
