/* Safetensors files made in memory, sound or damaged on purpose. */
#include "tensor_file.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH_BYTES 8

static void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    assert_non_null(p);
    return p;
}

static struct file_bytes bytes_join(const char *header, size_t n_header, const void *data,
                                    size_t n_data)
{
    struct file_bytes file = {.n = LENGTH_BYTES + n_header + n_data};
    file.bytes = allocate(file.n);
    for (int i = 0; i < LENGTH_BYTES; i++)
        file.bytes[i] = (unsigned char)((uint64_t)n_header >> (8 * i));
    memcpy(file.bytes + LENGTH_BYTES, header, n_header);
    if (n_data) memcpy(file.bytes + LENGTH_BYTES + n_header, data, n_data);
    return file;
}

struct file_bytes tensor_file_raw(const char *header, const void *data, size_t n_data)
{
    return bytes_join(header, strlen(header), data, n_data);
}

size_t tensor_file_header_length(struct file_bytes file)
{
    uint64_t n = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) n = n << 8 | file.bytes[i];
    return (size_t)n;
}

static json_t *header_entry(const struct file_tensor *t, size_t begin)
{
    json_t *shape = json_array();
    size_t end = begin + t->n_bytes;
    for (size_t i = 0; i < t->n_dims; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", t->type, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

struct file_bytes tensor_file_make(const char *config, const struct file_tensor *tensors,
                                   size_t n_tensors)
{
    json_t *root = json_object();
    size_t n_data = 0;
    if (config)
        json_object_set_new(root, "__metadata__", json_pack("{s:s}", "latent.config", config));
    for (size_t i = 0; i < n_tensors; i++) {
        json_object_set_new(root, tensors[i].name, header_entry(&tensors[i], n_data));
        n_data += tensors[i].n_bytes;
    }
    char *header = json_dumps(root, JSON_COMPACT);
    assert_non_null(header);
    unsigned char *data = allocate(n_data);
    for (size_t i = 0, begin = 0; i < n_tensors; begin += tensors[i++].n_bytes)
        if (tensors[i].n_bytes) memcpy(data + begin, tensors[i].data, tensors[i].n_bytes);
    struct file_bytes file = tensor_file_raw(header, data, n_data);
    free(data);
    free(header);
    json_decref(root);
    return file;
}

struct file_bytes tensor_file_edit(struct file_bytes file, const char *from, const char *to)
{
    size_t n_header = tensor_file_header_length(file);
    char *header = allocate(n_header + 1);
    memcpy(header, file.bytes + LENGTH_BYTES, n_header);
    header[n_header] = '\0';
    char *edited = text_replace(header, from, to);
    struct file_bytes out = tensor_file_raw(edited, file.bytes + LENGTH_BYTES + n_header,
                                            file.n - LENGTH_BYTES - n_header);
    free(edited);
    free(header);
    return out;
}

char *text_replace(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at) fail_msg("\"%s\" does not occur in %s", from, text);
    size_t n_before = (size_t)(at - text), size = strlen(text) + strlen(to) + 1;
    char *out = allocate(size);
    snprintf(out, size, "%.*s%s%s", (int)n_before, text, to, at + strlen(from));
    return out;
}

void assert_text_has(const char *text, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (!strstr(text, words[i])) fail_msg("expected \"%s\" in: %s", words[i], text);
}
