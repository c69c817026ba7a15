/* Safetensors files made in memory, sound or damaged on purpose. */
#ifndef TENSOR_FILE_H
#define TENSOR_FILE_H

#include <stddef.h>

/* One tensor of a file to be made. */
struct file_tensor {
    const char *name;
    const char *type; /* "F32", "F64", ... as it stands in the header */
    size_t n_dims;
    size_t shape[4];
    const void *data;
    size_t n_bytes;
};

/* Heap bytes of a file; free() them. */
struct file_bytes {
    unsigned char *bytes;
    size_t n;
};

/* Header text as it is, its length in front, data behind. */
struct file_bytes tensor_file_raw(const char *header, const void *data, size_t n_data);
/* A sound file: config (may be NULL) under __metadata__, tensors laid end to end. */
struct file_bytes tensor_file_make(const char *config, const struct file_tensor *tensors,
                                   size_t n_tensors);
/* The same file with `from` replaced by `to` once in its header, whose length is
 * corrected. */
struct file_bytes tensor_file_edit(struct file_bytes file, const char *from, const char *to);
size_t tensor_file_header_length(struct file_bytes file);

/* Heap copy of text with `from` replaced by `to` once; fails the test when `from` is
 * absent. */
char *text_replace(const char *text, const char *from, const char *to);
/* Fails the test, printing the text, unless every word of the NULL-terminated list
 * occurs. */
void assert_text_has(const char *text, const char *const *words);
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
