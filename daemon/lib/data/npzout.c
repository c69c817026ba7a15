/* A zip archive of .npy arrays. Every size has 64 bits (zip64), whether it needs them or not: one
 * form of header, whatever the recording. */
#include "data/npzout.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/whole_file.h"
#include "latent_bytes.h"

#define MAX_ARRAYS 24
#define NAME_BYTES 40
#define HEADER_BYTES 192 /* of a .npy file, a multiple of 64 */
#define ZIP64 45         /* the version of the format that has 64-bit sizes */
#define NO_DATE 0x21     /* 1980-01-01, the first that there is */
#define SEE_ZIP64 0xffffffffu

struct member {
    char name[NAME_BYTES];
    uint64_t offset, n_bytes; /* of the local header; of the contents */
    uint32_t crc;
};

struct npzout {
    struct whole_file to;
    FILE *file;
    struct latent_error *err;
    bool failed;
    uint64_t at; /* bytes written */
    struct member members[MAX_ARRAYS];
    size_t n_members;
    uint64_t n_expected; /* contents of the member in hand, as announced */
    uint32_t crc_table[256];
};

/* ---- bytes ---- */

static void npzout_fail(struct npzout *out, const char *doing)
{
    if (!out->failed) whole_file_fail(&out->to, doing, out->err);
    out->failed = true;
}

static void bytes_put(struct npzout *out, const void *data, size_t n)
{
    if (out->failed || n == 0) return;
    errno = 0;
    if (fwrite(data, 1, n, out->file) != n) npzout_fail(out, "write");
    out->at += n;
}

/* Whole numbers of 2, 4 and 8 bytes, little end first. */
static unsigned char *number_pack(unsigned char *p, uint64_t value, int n_bytes)
{
    bytes_from_whole(p, value, (size_t)n_bytes);
    return p + n_bytes;
}

static void crc_table_fill(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        table[i] = c;
    }
}

static uint32_t crc_add(const struct npzout *out, uint32_t crc, const void *data, size_t n)
{
    const unsigned char *p = data;
    crc = ~crc;
    for (size_t i = 0; i < n; i++) crc = out->crc_table[(crc ^ p[i]) & 255] ^ crc >> 8;
    return ~crc;
}

/* ---- members of the archive ---- */

/* Version, flags, method (stored), time, date, CRC, both sizes (in the extra field), length of the
 * name: the same in the local header and in the directory. */
static unsigned char *common_pack(unsigned char *p, const struct member *m)
{
    p = number_pack(p, ZIP64, 2);
    p = number_pack(p, 0, 2);
    p = number_pack(p, 0, 2);
    p = number_pack(p, 0, 2);
    p = number_pack(p, NO_DATE, 2);
    p = number_pack(p, m->crc, 4);
    p = number_pack(p, SEE_ZIP64, 4);
    p = number_pack(p, SEE_ZIP64, 4);
    return number_pack(p, strlen(m->name), 2);
}

/* Written twice: before the contents, and once more when their CRC is known. */
static void local_header_put(struct npzout *out, const struct member *m)
{
    unsigned char header[128], *p = header;
    p = number_pack(p, 0x04034b50, 4);
    p = common_pack(p, m);
    p = number_pack(p, 20, 2);
    size_t n_name = strlen(m->name);
    memcpy(p, m->name, n_name);
    p = number_pack(p + n_name, 1, 2);
    p = number_pack(p, 16, 2);
    p = number_pack(p, m->n_bytes, 8);
    p = number_pack(p, m->n_bytes, 8);
    bytes_put(out, header, (size_t)(p - header));
}

static void directory_entry_put(struct npzout *out, const struct member *m)
{
    unsigned char header[160], *p = header;
    p = number_pack(p, 0x02014b50, 4);
    p = number_pack(p, ZIP64, 2);
    p = common_pack(p, m);
    p = number_pack(p, 28, 2);
    p = number_pack(p, 0, 2); /* comment */
    p = number_pack(p, 0, 2); /* disk */
    p = number_pack(p, 0, 2); /* attributes */
    p = number_pack(p, 0, 4);
    p = number_pack(p, SEE_ZIP64, 4);
    size_t n_name = strlen(m->name);
    memcpy(p, m->name, n_name);
    p = number_pack(p + n_name, 1, 2);
    p = number_pack(p, 24, 2);
    p = number_pack(p, m->n_bytes, 8);
    p = number_pack(p, m->n_bytes, 8);
    p = number_pack(p, m->offset, 8);
    bytes_put(out, header, (size_t)(p - header));
}

/* The directory, its 64-bit end record, where that lies, and the end record of old. */
static void directory_put(struct npzout *out)
{
    unsigned char end[128], *p = end;
    uint64_t start = out->at;
    for (size_t i = 0; i < out->n_members; i++) directory_entry_put(out, &out->members[i]);
    uint64_t size = out->at - start;
    p = number_pack(p, 0x06064b50, 4);
    p = number_pack(p, 44, 8);
    p = number_pack(p, ZIP64, 2);
    p = number_pack(p, ZIP64, 2);
    p = number_pack(p, 0, 8); /* disks */
    p = number_pack(p, out->n_members, 8);
    p = number_pack(p, out->n_members, 8);
    p = number_pack(p, size, 8);
    p = number_pack(p, start, 8);
    p = number_pack(p, 0x07064b50, 4);
    p = number_pack(p, 0, 4);
    p = number_pack(p, start + size, 8);
    p = number_pack(p, 1, 4);
    p = number_pack(p, 0x06054b50, 4);
    p = number_pack(p, 0, 4); /* disks */
    p = number_pack(p, 0xffffffff, 4);
    p = number_pack(p, SEE_ZIP64, 4);
    p = number_pack(p, SEE_ZIP64, 4);
    p = number_pack(p, 0, 2); /* comment */
    bytes_put(out, end, (size_t)(p - end));
}

/* ---- arrays ---- */

struct type_text {
    char text[32];
    size_t n_bytes;
};

static struct type_text type_text(enum npz_type type)
{
    static const struct type_text texts[] = {
        [NPZ_BOOL] = {"|b1", 1},
        [NPZ_INT64] = {"<i8", 8},
        [NPZ_FLOAT32] = {"<f4", 4},
        [NPZ_FLOAT64] = {"<f8", 8},
    };
    return texts[type];
}

/* "(3, 4)", "(3,)" or "()". */
static void shape_text(char *text, size_t size, int rank, const size_t *shape)
{
    size_t used = 1;
    snprintf(text, size, "(");
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%zu", i ? ", " : "", shape[i]);
    snprintf(text + used, size - used, "%s)", rank == 1 ? "," : "");
}

static void array_begin(struct npzout *out, const char *name, struct type_text type, int rank,
                        const size_t *shape)
{
    if (out->failed) return;
    assert(out->n_members < MAX_ARRAYS && rank <= 3 && strlen(name) + 5 < NAME_BYTES);
    struct member *m = &out->members[out->n_members++];
    char header[HEADER_BYTES + 1] = {0}, dims[96];
    uint64_t n = type.n_bytes;
    for (int i = 0; i < rank; i++) n *= shape[i];
    shape_text(dims, sizeof dims, rank, shape);
    memcpy(header, "\x93NUMPY\x01", 8);
    number_pack((unsigned char *)header + 8, HEADER_BYTES - 10, 2);
    int used = snprintf(header + 10, HEADER_BYTES - 10,
                        "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type.text, dims);
    memset(header + 10 + used, ' ', HEADER_BYTES - 11 - (size_t)used);
    header[HEADER_BYTES - 1] = '\n';
    snprintf(m->name, sizeof m->name, "%s.npy", name);
    m->offset = out->at;
    m->n_bytes = out->n_expected = n + HEADER_BYTES;
    local_header_put(out, m);
    npzout_write(out, header, HEADER_BYTES);
}

void npzout_begin(struct npzout *out, const char *name, enum npz_type type, int rank,
                  const size_t *shape)
{
    array_begin(out, name, type_text(type), rank, shape);
}

void npzout_write(struct npzout *out, const void *data, size_t n_bytes)
{
    if (out->failed) return;
    struct member *m = &out->members[out->n_members - 1];
    m->crc = crc_add(out, m->crc, data, n_bytes);
    assert(n_bytes <= out->n_expected);
    out->n_expected -= n_bytes;
    bytes_put(out, data, n_bytes);
}

void npzout_end(struct npzout *out)
{
    if (out->failed) return;
    const struct member *m = &out->members[out->n_members - 1];
    uint64_t end = out->at;
    assert(out->n_expected == 0);
    errno = 0;
    if (fseeko(out->file, (off_t)m->offset, SEEK_SET) != 0) npzout_fail(out, "write");
    local_header_put(out, m);
    if (!out->failed && fseeko(out->file, (off_t)end, SEEK_SET) != 0) npzout_fail(out, "write");
    out->at = end;
}

void npzout_array(struct npzout *out, const char *name, enum npz_type type, int rank,
                  const size_t *shape, const void *data)
{
    npzout_begin(out, name, type, rank, shape);
    if (!out->failed) npzout_write(out, data, out->n_expected);
    npzout_end(out);
}

/* The characters of a UTF-8 text; a byte that begins none stands for itself. */
static size_t text_decode(const char *text, uint32_t *out, size_t most)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = 0;
    while (*p && n < most) {
        int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
        uint32_t c = *p++;
        if (more) c &= 0x3fu >> more;
        for (; more && (*p & 0xc0) == 0x80; more--) c = c << 6 | (*p++ & 0x3f);
        out[n++] = c;
    }
    return n;
}

void npzout_texts(struct npzout *out, const char *name, size_t n, const char *const *texts)
{
    size_t n_texts = n ? n : 1, longest = 1;
    for (size_t i = 0; i < n_texts; i++)
        if (strlen(texts[i]) > longest) longest = strlen(texts[i]);
    uint32_t *characters = calloc(longest, sizeof *characters);
    struct type_text type = {.n_bytes = longest * sizeof *characters};
    snprintf(type.text, sizeof type.text, "<U%zu", longest);
    if (!characters) npzout_fail(out, "write");
    array_begin(out, name, type, n ? 1 : 0, &n);
    for (size_t i = 0; i < n_texts && characters; i++) {
        memset(characters, 0, type.n_bytes);
        text_decode(texts[i], characters, longest);
        npzout_write(out, characters, type.n_bytes);
    }
    npzout_end(out);
    free(characters);
}

/* ---- the file ---- */

struct npzout *npzout_create(const char *path, struct latent_error *err)
{
    struct npzout *out = calloc(1, sizeof *out);
    if (!out) {
        error_text(err, LATENT_E_NOMEM, "out of memory");
        return NULL;
    }
    out->err = err;
    out->failed = whole_file_name(&out->to, path, err) != 0;
    crc_table_fill(out->crc_table);
    errno = 0;
    if (!out->failed) out->file = fopen(out->to.temporary, "wbe");
    if (!out->failed && !out->file) npzout_fail(out, "create a file beside it");
    if (!out->failed) return out;
    npzout_abort(out);
    return NULL;
}

int npzout_commit(struct npzout *out)
{
    directory_put(out);
    errno = 0;
    if (fclose(out->file) != 0) npzout_fail(out, "write");
    out->file = NULL;
    int status = out->failed ? out->err->status : whole_file_commit(&out->to, out->err);
    npzout_abort(out);
    return status;
}

void npzout_abort(struct npzout *out)
{
    if (!out) return;
    if (out->file) fclose(out->file);
    whole_file_abort(&out->to);
    free(out);
}
