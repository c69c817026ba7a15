/* The kernels, written once in GNU vector types. Included by kernels_<set>.c, which is compiled
 * with that instruction set's options and defines
 *
 *   VECTOR_BYTES                bytes of a register
 *   TILE_VECTORS, TILE_ROWS     how many sums stay in registers
 *   KERNELS_NAME                the set's name, as status shows it
 *   KERNELS_TABLE               the table it makes */
#include "kernels/kernels.h"

#include "kernels/body_vectors.h"

#include "kernels/body_tiles.h"

#include "kernels/body_products.h"

#include "kernels/body_functions.h"

#include "kernels/body_arrays.h"

#include "kernels/body_recurrent.h"

const struct kernels KERNELS_TABLE = {
    .name = KERNELS_NAME,
    .matvec = matvec,
    .matvec_add = matvec_add,
    .matvec_sparse = matvec_sparse,
    .matmul = matmul,
    .product = product,
    .dots = dots,
    .softmax = softmax,
    .layer_norm = layer_norm,
    .exp = exp_array,
    .tanh = tanh_array,
    .sigmoid = sigmoid_array,
    .finite = finite_array,
    .scale = scale_array,
    .nonzero = nonzero_array,
    .gru_step = gru_step,
    .clipped_step = clipped_step,
    .field = field,
    .move = move,
};
