/* Weights taken by name and exact shape. Each tensor is taken once; what nobody took is an error.
 *
 * A model's load runs twice over the same file: first over a counting arena, to learn the size,
 * then over the real one. In the counting run every take is checked in full (presence, type,
 * shape, finite values) but returns NULL, as arena_take does: so load tells failure by w->status,
 * never by a NULL pointer, and reads or writes arena memory only when w->arena->base is set. What
 * load returns is a struct filled on the stack and handed over by arena_copy; anything it takes
 * must be the same in both runs. */
#ifndef LATENT_WEIGHTS_H
#define LATENT_WEIGHTS_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/precision.h"
#include "base/safetensors.h"

struct weights {
    const struct safetensors *file;
    struct arena *arena;      /* the model's; converted and packed weights live here */
    struct arena *raw;        /* matrices until they are packed; gone after load; NULL: arena */
    enum precision precision; /* of the matrices that load packs */
    bool *taken;              /* [file->n_tensors] */
    struct latent_error *err; /* first error wins */
    int status;               /* 0 until something was missing or wrong */
};

/* A float32 view of tensor `name` (printf-formatted) with exactly this shape; aligned
 * copy in the arena. On a missing tensor, wrong type or shape, or a non-finite element:
 * sets w->status and returns NULL, as do all later takes. n_dims 0 = scalar. */
const float *weights_floats(struct weights *w, size_t n_dims, const size_t *shape,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same for a matrix [rows, cols] that load packs for the kernels: it lies in w->raw, which goes
 * when load is over. In the precision that is loaded it may also be stored so: BF16, or I8 with a
 * tensor "<name>.scale" [rows], F32, for weight = scale * I8. */
const float *weights_matrix(struct weights *w, size_t rows, size_t cols, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* n floats in w->raw, for what load makes of a matrix before it packs it. */
float *weights_raw(struct weights *w, size_t n);
/* The same as weights_floats in float64, from F64 or F32. */
const double *weights_doubles(struct weights *w, size_t n_dims, const size_t *shape,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));
bool weights_has(const struct weights *w, const char *name);
/* The stored tensor, for shapes the architecture learns from the file; NULL when
 * absent. Does not take. */
const struct tensor *weights_peek(const struct weights *w, const char *name);
/* Size of one axis of a required tensor; 1 when it is missing or outside 1..max, since what is
 * wrong shows when the tensor is taken with that size. */
size_t weights_axis(const struct weights *w, const char *name, size_t axis, size_t max);
/* After binding: any tensor not taken (selftest.* excepted) is an error. Returns w->status. */
int weights_finish(struct weights *w);

/* clang-format off */
#define SHAPE(...) sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), (const size_t[]){__VA_ARGS__}
/* clang-format on */

#endif
