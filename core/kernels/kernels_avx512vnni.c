/* Kernels for x86-64 with AVX-512 and its VNNI dot products of integers. */
#if defined(__x86_64__)
#define VECTOR_BYTES 64
#define TILE_VECTORS 12
#define TILE_ROWS 6
#define KERNELS_NAME "avx512vnni"
#define KERNELS_TABLE kernels_avx512vnni
#include "kernels/kernels_body.h"
#endif
