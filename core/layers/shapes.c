/* Sizes that an architecture learns from its tensors. */
#include "layers/shapes.h"

size_t shapes_axis(const struct weights *w, const char *name, size_t axis, size_t max)
{
    const struct tensor *t = weights_peek(w, name);
    bool fits = t && axis < t->n_dims && t->shape[axis] >= 1 && t->shape[axis] <= max;
    return fits ? t->shape[axis] : 1;
}
