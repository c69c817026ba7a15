/* Weights taken by name and exact shape, checked and copied into the model's arena. */
#include "base/weights.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static int weights_refuse_missing(struct weights *w, const char *name, const char *type,
                                  size_t n_dims, const size_t *shape)
{
    char text[TENSOR_SHAPE_TEXT];
    return error_set(w->err, LATENT_E_TENSOR,
                     "tensor \"%s\" is missing: expected %s %s among the file's %zu tensors", name,
                     type, tensor_shape_text(text, n_dims, shape), w->file->n_tensors);
}

static int tensor_check_shape(const struct tensor *t, size_t n_dims, const size_t *shape,
                              struct latent_error *err)
{
    bool same = t->n_dims == n_dims;
    for (size_t i = 0; same && i < n_dims; i++) same = t->shape[i] == shape[i];
    if (same) return 0;
    char expected[TENSOR_SHAPE_TEXT], found[TENSOR_SHAPE_TEXT];
    return error_set(err, LATENT_E_TENSOR, "tensor \"%s\": expected shape %s, found %s", t->name,
                     tensor_shape_text(expected, n_dims, shape),
                     tensor_shape_text(found, t->n_dims, t->shape));
}

/* Element i as stored, whatever its alignment. */
static double tensor_element(const struct tensor *t, size_t i)
{
    const unsigned char *data = t->data;
    float narrow;
    double wide;
    if (t->type == TENSOR_F64) {
        memcpy(&wide, data + i * sizeof wide, sizeof wide);
        return wide;
    }
    if (t->type == TENSOR_I8) return (double)(int8_t)data[i];
    uint16_t upper = 0;
    if (t->type == TENSOR_BF16) memcpy(&upper, data + i * sizeof upper, sizeof upper);
    uint32_t bits = (uint32_t)upper << 16;
    memcpy(&narrow, &bits, sizeof narrow);
    if (t->type == TENSOR_F32) memcpy(&narrow, data + i * sizeof narrow, sizeof narrow);
    return (double)narrow;
}

/* Index of the i-th element, [row,column,...]. */
static const char *element_text(char text[TENSOR_SHAPE_TEXT], const struct tensor *t, size_t i)
{
    size_t index[SAFETENSORS_MAX_DIMS];
    for (size_t k = t->n_dims; k-- > 0;) {
        index[k] = i % t->shape[k];
        i /= t->shape[k];
    }
    return tensor_shape_text(text, t->n_dims, index);
}

static int tensor_check_finite(const struct tensor *t, struct latent_error *err)
{
    char text[TENSOR_SHAPE_TEXT];
    for (size_t i = 0; i < t->n_elements; i++) {
        double value = tensor_element(t, i);
        if (isfinite(value)) continue;
        return error_set(err, LATENT_E_TENSOR,
                         "tensor \"%s\": expected finite weights, found %g at %s", t->name, value,
                         element_text(text, t, i));
    }
    return 0;
}

/* Types besides F32 that a take accepts, and how an error names them. */
struct accepted {
    enum tensor_type other; /* TENSOR_F32: none */
    const char *text;
};

static const struct accepted floats = {TENSOR_F32, "F32"}, doubles = {TENSOR_F64, "F64 or F32"};
static const struct accepted matrices[N_PRECISIONS] = {
    [PRECISION_F32] = {TENSOR_F32, "F32 (precision f32)"},
    [PRECISION_BF16] = {TENSOR_BF16, "F32 or BF16 (precision bf16)"},
    [PRECISION_INT8] = {TENSOR_I8, "F32 or I8 (precision int8)"},
};

/* The named tensor, checked and marked as taken; NULL with w->status set. */
static const struct tensor *tensor_take(struct weights *w, struct accepted accepted, size_t n_dims,
                                        const size_t *shape, const char *name)
{
    if (w->status) return NULL;
    const char *type = accepted.text;
    const struct tensor *t = weights_peek(w, name);
    if (!t) {
        w->status = weights_refuse_missing(w, name, type, n_dims, shape);
        return NULL;
    }
    assert(!w->taken[t - w->file->tensors]);
    w->taken[t - w->file->tensors] = true;
    if (t->type != TENSOR_F32 && t->type != accepted.other)
        w->status = error_set(w->err, LATENT_E_TENSOR, "tensor \"%s\": expected type %s, found %s",
                              name, type, tensor_type_name(t->type));
    if (!w->status) w->status = tensor_check_shape(t, n_dims, shape, w->err);
    if (!w->status) w->status = tensor_check_finite(t, w->err);
    return w->status ? NULL : t;
}

static const struct tensor *weights_take(struct weights *w, struct accepted accepted, size_t n_dims,
                                         const size_t *shape, const char *format, va_list args)
{
    char name[SAFETENSORS_MAX_NAME + 1];
    vsnprintf(name, sizeof name, format, args);
    return tensor_take(w, accepted, n_dims, shape, name);
}

const float *weights_floats(struct weights *w, size_t n_dims, const size_t *shape,
                            const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const struct tensor *t = weights_take(w, floats, n_dims, shape, format, args);
    va_end(args);
    return t ? arena_copy(w->arena, t->data, t->n_bytes) : NULL;
}

float *weights_raw(struct weights *w, size_t n)
{
    return arena_floats(w->raw ? w->raw : w->arena, n);
}

const float *weights_matrix(struct weights *w, size_t rows, size_t cols, const char *format, ...)
{
    const size_t shape[] = {rows, cols};
    const struct tensor *scale = NULL;
    va_list args;
    va_start(args, format);
    const struct tensor *t = weights_take(w, matrices[w->precision], 2, shape, format, args);
    va_end(args);
    if (t && t->type == TENSOR_I8) {
        char name[SAFETENSORS_MAX_NAME + 1];
        snprintf(name, sizeof name, "%s.scale", t->name);
        scale = tensor_take(w, floats, 1, shape, name);
        if (!scale) return NULL;
    }
    if (!t) return NULL;
    float *values = weights_raw(w, rows * cols);
    for (size_t i = 0; values && i < rows * cols; i++) {
        double size = scale ? tensor_element(scale, i / cols) : 1.0;
        values[i] = (float)(size * tensor_element(t, i));
    }
    return values;
}

const double *weights_doubles(struct weights *w, size_t n_dims, const size_t *shape,
                              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const struct tensor *t = weights_take(w, doubles, n_dims, shape, format, args);
    va_end(args);
    if (!t) return NULL;
    double *copy = arena_doubles(w->arena, t->n_elements);
    for (size_t i = 0; copy && i < t->n_elements; i++) copy[i] = tensor_element(t, i);
    return copy;
}

const struct tensor *weights_peek(const struct weights *w, const char *name)
{
    return safetensors_find(w->file, name);
}

bool weights_has(const struct weights *w, const char *name)
{
    return weights_peek(w, name) != NULL;
}

size_t weights_axis(const struct weights *w, const char *name, size_t axis, size_t max)
{
    const struct tensor *t = weights_peek(w, name);
    bool fits = t && axis < t->n_dims && t->shape[axis] >= 1 && t->shape[axis] <= max;
    return fits ? t->shape[axis] : 1;
}

int weights_finish(struct weights *w)
{
    if (w->status) return w->status;
    const struct tensor *first = NULL;
    size_t n_left = 0;
    for (size_t i = w->file->n_tensors; i-- > 0;) {
        const struct tensor *t = &w->file->tensors[i];
        if (w->taken[i] || strncmp(t->name, "selftest.", strlen("selftest.")) == 0) continue;
        first = t;
        n_left++;
    }
    if (!first) return 0;
    char shape[TENSOR_SHAPE_TEXT];
    w->status = error_set(w->err, LATENT_E_TENSOR,
                          "tensor \"%s\": expected no such tensor for this architecture and "
                          "hyper-parameters, found %s %s (%zu in all that nothing uses)",
                          first->name, tensor_type_name(first->type),
                          tensor_shape_text(shape, first->n_dims, first->shape), n_left);
    return w->status;
}
