/* Sizes that an architecture learns from its tensors. */
#ifndef LATENT_SHAPES_H
#define LATENT_SHAPES_H

#include "base/weights.h"

/* Size of one axis of a required tensor; 1 when it is missing or outside 1..max, since
 * what is wrong shows when the tensor is taken with that size. */
size_t shapes_axis(const struct weights *w, const char *name, size_t axis, size_t max);

#endif
