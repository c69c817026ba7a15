/* Reader of safetensors files. The input is hostile: every length, offset, type, overlap, gap and
 * duplicate is checked before a byte of data is used. */
#ifndef LATENT_SAFETENSORS_H
#define LATENT_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "latent.h"

#define SAFETENSORS_MAX_DIMS 8

enum tensor_type { TENSOR_F32, TENSOR_F64, TENSOR_BF16, TENSOR_I8 };

struct tensor {
    const char *name;
    enum tensor_type type;
    size_t n_dims;
    size_t shape[SAFETENSORS_MAX_DIMS]; /* all 1 past n_dims */
    size_t n_elements, n_bytes;
    const void *data; /* in the file's memory; aligned to the element only if its writer did so */
};

struct safetensors {
    struct tensor *tensors; /* sorted by name */
    size_t n_tensors;
    char *config;         /* metadata "latent.config", NUL-terminated, or NULL */
    unsigned char *bytes; /* the whole file, 64-byte aligned, private */
    size_t n_bytes;
    uint8_t sha256[32];
};

#define SAFETENSORS_MAX_HEADER (8u << 20) /* bytes; ours have some 10 KB */
#define SAFETENSORS_MAX_NAME 255u         /* bytes of a tensor's name */
#define SAFETENSORS_MAX_FILE (4ull << 30) /* bytes */

/* Read the file whole, hash, check, close. On error *st is empty. */
int safetensors_open(struct safetensors *st, const char *path, struct latent_error *err);
/* The same over a copy of bytes in memory (tests, fuzzing). */
int safetensors_parse(struct safetensors *st, const void *bytes, size_t n,
                      struct latent_error *err);
const struct tensor *safetensors_find(const struct safetensors *st, const char *name);
const char *tensor_type_name(enum tensor_type type);
/* "[606,202]" into text, which is returned. */
#define TENSOR_SHAPE_TEXT (SAFETENSORS_MAX_DIMS * 21 + 3)
const char *tensor_shape_text(char text[TENSOR_SHAPE_TEXT], size_t n_dims, const size_t *shape);
void safetensors_close(struct safetensors *st);

#endif
