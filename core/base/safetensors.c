/* Reader of safetensors files: header length, JSON, every tensor, then how they tile the data. */
#include "base/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define FIRST_BYTES (1u << 20) /* of a file, read before its header is judged */
#define ALIGN 64
#define LENGTH_BYTES 8 /* the header's length, little-endian, before the header */

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [TENSOR_F32] = {"F32", 4},
    [TENSOR_F64] = {"F64", 8},
    [TENSOR_BF16] = {"BF16", 2},
    [TENSOR_I8] = {"I8", 1},
};

const char *tensor_type_name(enum tensor_type type)
{
    return types[type].name;
}

const char *tensor_shape_text(char text[TENSOR_SHAPE_TEXT], size_t n_dims, const size_t *shape)
{
    size_t used = 0;
    text[used++] = '[';
    for (size_t i = 0; i < n_dims; i++)
        used +=
            (size_t)snprintf(text + used, TENSOR_SHAPE_TEXT - used, i ? ",%zu" : "%zu", shape[i]);
    memcpy(text + used, "]", 2);
    return text;
}

/* "type": one of the known names. */
static int type_read(struct tensor *t, const json_t *value, struct latent_error *err)
{
    const char *found = json_string_value(value);
    if (!found)
        return error_set(err, LATENT_E_FORMAT, "tensor \"%s\": expected \"dtype\" to be a string",
                         t->name);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(found, types[i].name) != 0) continue;
        t->type = (enum tensor_type)i;
        return 0;
    }
    return error_set(err, LATENT_E_TENSOR,
                     "tensor \"%s\": expected type F32, F64, BF16 or I8, found \"%.40s\"", t->name,
                     found);
}

/* A whole number that fits size_t. */
static bool size_from_json(size_t *out, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static int shape_read(struct tensor *t, const json_t *value, struct latent_error *err)
{
    if (!json_is_array(value))
        return error_set(err, LATENT_E_FORMAT,
                         "tensor \"%s\": expected \"shape\" to be a list, found another value",
                         t->name);
    if (json_array_size(value) > SAFETENSORS_MAX_DIMS)
        return error_set(err, LATENT_E_FORMAT,
                         "tensor \"%s\": expected at most %d dimensions, found %zu", t->name,
                         SAFETENSORS_MAX_DIMS, json_array_size(value));
    t->n_dims = json_array_size(value);
    t->n_elements = 1;
    bool fits = true;
    for (size_t i = 0; i < SAFETENSORS_MAX_DIMS; i++) t->shape[i] = 1;
    for (size_t i = 0; i < t->n_dims; i++) {
        if (!size_from_json(&t->shape[i], json_array_get(value, i)))
            return error_set(err, LATENT_E_FORMAT,
                             "tensor \"%s\": expected shape[%zu] to be a whole number, "
                             "found another value",
                             t->name, i);
        fits &= !__builtin_mul_overflow(t->n_elements, t->shape[i], &t->n_elements);
    }
    fits &= !__builtin_mul_overflow(t->n_elements, types[t->type].size, &t->n_bytes);
    char text[TENSOR_SHAPE_TEXT];
    if (!fits)
        return error_set(err, LATENT_E_FORMAT,
                         "tensor \"%s\": expected a size that fits memory, found shape %s", t->name,
                         tensor_shape_text(text, t->n_dims, t->shape));
    return 0;
}

/* [begin, end) must lie inside the data and hold exactly the tensor. */
static int offsets_read(struct tensor *t, const json_t *value, const unsigned char *data,
                        size_t n_data, struct latent_error *err)
{
    size_t begin, end;
    if (json_array_size(value) != 2 || !size_from_json(&begin, json_array_get(value, 0)) ||
        !size_from_json(&end, json_array_get(value, 1)))
        return error_set(err, LATENT_E_FORMAT,
                         "tensor \"%s\": expected \"data_offsets\" to be two whole numbers",
                         t->name);
    if (begin > end || end > n_data)
        return error_set(err, LATENT_E_FORMAT,
                         "tensor \"%s\": expected data_offsets inside the %zu bytes of data, "
                         "found [%zu,%zu]: the file is cut or damaged",
                         t->name, n_data, begin, end);
    char text[TENSOR_SHAPE_TEXT];
    if (end - begin != t->n_bytes)
        return error_set(
            err, LATENT_E_FORMAT,
            "tensor \"%s\": expected %zu bytes for %s %s, found data_offsets [%zu,%zu]", t->name,
            t->n_bytes, types[t->type].name, tensor_shape_text(text, t->n_dims, t->shape), begin,
            end);
    t->data = data + begin;
    return 0;
}

static int tensor_read(struct tensor *t, const json_t *object, const unsigned char *data,
                       size_t n_data, struct latent_error *err)
{
    const json_t *type = json_object_get(object, "dtype");
    const json_t *shape = json_object_get(object, "shape");
    const json_t *offsets = json_object_get(object, "data_offsets");
    if (json_object_size(object) != 3 || !type || !shape || !offsets)
        return error_set(err, LATENT_E_FORMAT,
                         "tensor \"%s\": expected an object of dtype, shape, "
                         "data_offsets and no other key",
                         t->name);
    int status = type_read(t, type, err);
    if (!status) status = shape_read(t, shape, err);
    if (!status) status = offsets_read(t, offsets, data, n_data, err);
    return status;
}

/* "__metadata__": strings only; latent.config is kept. */
static int metadata_read(struct safetensors *st, json_t *object, struct latent_error *err)
{
    if (!json_is_object(object))
        return error_set(err, LATENT_E_FORMAT, "__metadata__: expected an object of strings");
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return error_set(err, LATENT_E_FORMAT,
                             "__metadata__: expected \"%.80s\" to be a string, found another value",
                             key);
    }
    const char *config = json_string_value(json_object_get(object, "latent.config"));
    if (!config) return 0;
    st->config = strdup(config);
    return st->config ? 0 : error_set(err, LATENT_E_NOMEM, "latent.config: out of memory");
}

static int name_check(const char *name, struct latent_error *err)
{
    if (name[0] && strlen(name) <= SAFETENSORS_MAX_NAME && text_is_clean(name)) return 0;
    return error_set(
        err, LATENT_E_FORMAT,
        "tensor \"%.80s\": expected a name of 1 to %u bytes without control characters", name,
        SAFETENSORS_MAX_NAME);
}

/* One block holds the tensors and, behind them, their names. */
static int tensors_allocate(struct safetensors *st, json_t *root, struct latent_error *err)
{
    size_t n_tensors = 0, n_name_bytes = 0;
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) continue;
        int status = name_check(key, err);
        if (status) return status;
        n_tensors++;
        n_name_bytes += strlen(key) + 1;
    }
    st->tensors = calloc(1, n_tensors * sizeof *st->tensors + n_name_bytes + 1);
    if (!st->tensors)
        return error_set(err, LATENT_E_NOMEM, "header: out of memory for %zu tensors", n_tensors);
    st->n_tensors = n_tensors;
    return 0;
}

static int header_read(struct safetensors *st, json_t *root, const unsigned char *data,
                       size_t n_data, struct latent_error *err)
{
    int status = tensors_allocate(st, root, err);
    if (status) return status;
    char *name = (char *)(st->tensors + st->n_tensors);
    struct tensor *t = st->tensors;
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            status = metadata_read(st, value, err);
        } else {
            size_t n_bytes = strlen(key) + 1;
            t->name = memcpy(name, key, n_bytes);
            name += n_bytes;
            status = tensor_read(t++, value, data, n_data, err);
        }
        if (status) return status;
    }
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    const unsigned char *p = x->data, *q = y->data;
    if (p != q) return p < q ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Laid end to end the tensors must be the data: no gap, no overlap, nothing behind the last. */
static int tiling_check(struct safetensors *st, const unsigned char *data, size_t n_data,
                        struct latent_error *err)
{
    qsort(st->tensors, st->n_tensors, sizeof *st->tensors, compare_places);
    size_t end = 0;
    const char *last = "(header)";
    for (size_t i = 0; i < st->n_tensors; i++) {
        const struct tensor *t = &st->tensors[i];
        size_t begin = (size_t)((const unsigned char *)t->data - data);
        if (begin != end)
            return error_set(err, LATENT_E_FORMAT,
                             "tensor \"%s\": expected to begin at byte %zu of the data, "
                             "where \"%s\" ends, found %zu: %s",
                             t->name, end, last, begin, begin < end ? "they overlap" : "a gap");
        end = begin + t->n_bytes;
        last = t->name;
    }
    if (end != n_data)
        return error_set(err, LATENT_E_FORMAT,
                         "expected the file to end with tensor \"%s\" at byte %zu of the data, "
                         "found %zu bytes more",
                         last, end, n_data - end);
    qsort(st->tensors, st->n_tensors, sizeof *st->tensors, compare_names);
    return 0;
}

/* Length of the header: bounded by the format and by the file, and a JSON object follows. */
static int length_check(const struct safetensors *st, size_t *n_header, struct latent_error *err)
{
    if (st->n_bytes < LENGTH_BYTES + 2)
        return error_set(err, LATENT_E_FORMAT,
                         "expected a safetensors file of at least %d bytes, found %zu",
                         LENGTH_BYTES + 2, st->n_bytes);
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | st->bytes[i];
    size_t room = st->n_bytes - LENGTH_BYTES;
    if (length < 2 || length > SAFETENSORS_MAX_HEADER || length > room)
        return error_set(err, LATENT_E_FORMAT,
                         "header: expected a length of 2 to %zu bytes, found %llu: "
                         "not a safetensors file, or cut",
                         room < SAFETENSORS_MAX_HEADER ? room : (size_t)SAFETENSORS_MAX_HEADER,
                         (unsigned long long)length);
    if (st->bytes[LENGTH_BYTES] != '{')
        return error_set(err, LATENT_E_FORMAT,
                         "header: expected '{' as its first byte, found 0x%02x: "
                         "not a safetensors file",
                         st->bytes[LENGTH_BYTES]);
    *n_header = (size_t)length;
    return 0;
}

/* Everything that the header says; only its own bytes are read. */
static int header_check(struct safetensors *st, struct latent_error *err)
{
    size_t n_header = 0;
    int status = length_check(st, &n_header, err);
    if (status) return status;
    const char *header = (const char *)st->bytes + LENGTH_BYTES;
    json_error_t why;
    json_t *root = json_loadb(header, n_header, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return error_set(err, LATENT_E_FORMAT, "header: expected JSON, found at byte %d: %s",
                         LENGTH_BYTES + why.position, why.text);
    const unsigned char *data = st->bytes + LENGTH_BYTES + n_header;
    size_t n_data = st->n_bytes - LENGTH_BYTES - n_header;
    status = header_read(st, root, data, n_data, err);
    if (!status) status = tiling_check(st, data, n_data, err);
    json_decref(root);
    return status;
}

static int bytes_allocate(struct safetensors *st, size_t n, struct latent_error *err)
{
    *st = (struct safetensors){.n_bytes = n};
    size_t size = (n / ALIGN + 1) * ALIGN;
    st->bytes = n <= SAFETENSORS_MAX_FILE ? aligned_alloc(ALIGN, size) : NULL;
    if (st->bytes) return 0;
    error_set(err, LATENT_E_NOMEM, "no memory for a file of %zu bytes (at most %llu)", n,
              SAFETENSORS_MAX_FILE);
    return LATENT_E_NOMEM;
}

int safetensors_parse(struct safetensors *st, const void *bytes, size_t n, struct latent_error *err)
{
    int status = bytes_allocate(st, n, err);
    if (!status && n) memcpy(st->bytes, bytes, n);
    if (!status) status = header_check(st, err);
    if (!status) crypto_hash_sha256(st->sha256, st->bytes, st->n_bytes);
    if (status) safetensors_close(st);
    return status;
}

static int file_changed(const struct safetensors *st, const char *found, struct latent_error *err)
{
    return error_set(err, LATENT_E_IO,
                     "expected %zu bytes, found %s: the file changed while being read; "
                     "write a new file and rename it",
                     st->n_bytes, found);
}

/* Reads on up to byte `end`, or to the end of the file if that is sooner: *got bytes are there. */
static int bytes_read(struct safetensors *st, int fd, size_t end, size_t *got,
                      struct latent_error *err)
{
    if (end > st->n_bytes) end = st->n_bytes;
    while (*got < end) {
        ssize_t n = read(fd, st->bytes + *got, end - *got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return error_set(err, LATENT_E_IO, "cannot be read: %s", strerror(errno));
        if (n == 0) return file_changed(st, "fewer", err);
        *got += (size_t)n;
    }
    return 0;
}

/* Nothing may follow the last byte. */
static int end_check(const struct safetensors *st, int fd, struct latent_error *err)
{
    char more;
    return read(fd, &more, 1) == 1 ? file_changed(st, "more", err) : 0;
}

/* The header first: a large file that is none, or that holds more or less than it says, is refused
 * before gigabytes of it are read. Exactly st->n_bytes must come, and then the end. */
static int contents_read(struct safetensors *st, int fd, struct latent_error *err)
{
    size_t got = 0, n_header = 0;
    int status = bytes_read(st, fd, FIRST_BYTES, &got, err);
    if (!status && got == st->n_bytes) status = end_check(st, fd, err);
    if (!status) status = length_check(st, &n_header, err);
    if (!status) status = bytes_read(st, fd, LENGTH_BYTES + n_header, &got, err);
    if (!status) status = header_check(st, err);
    if (!status) status = bytes_read(st, fd, st->n_bytes, &got, err);
    if (!status) status = end_check(st, fd, err);
    if (!status) crypto_hash_sha256(st->sha256, st->bytes, st->n_bytes);
    return status;
}

static int file_read(struct safetensors *st, int fd, struct latent_error *err)
{
    struct stat s;
    if (fstat(fd, &s) < 0)
        return error_set(err, LATENT_E_IO, "cannot be examined: %s", strerror(errno));
    if (!S_ISREG(s.st_mode))
        return error_set(err, LATENT_E_IO, "expected a regular file, found another kind");
    int status = bytes_allocate(st, (size_t)s.st_size, err);
    return status ? status : contents_read(st, fd, err);
}

int safetensors_open(struct safetensors *st, const char *path, struct latent_error *err)
{
    *st = (struct safetensors){0};
    /* Without O_NONBLOCK opening a pipe would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return error_set(err, LATENT_E_IO, "cannot be opened: %s", strerror(errno));
    int status = file_read(st, fd, err);
    close(fd);
    if (status) safetensors_close(st);
    return status;
}

const struct tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    struct tensor key = {.name = name};
    if (!st->n_tensors) return NULL;
    return bsearch(&key, st->tensors, st->n_tensors, sizeof key, compare_names);
}

void safetensors_close(struct safetensors *st)
{
    free(st->tensors);
    free(st->config);
    free(st->bytes);
    *st = (struct safetensors){0};
}
