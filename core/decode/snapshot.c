/* Two passes when reading: the first judges every value, the second stores them. */
#include "decode/snapshot.h"

#include <assert.h>
#include <math.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "latent_bytes.h"

#define MAGIC 0x3270616e7374616cu /* "latsnap2", little-endian */
#define FORMAT SNAPSHOT_WITH_INPUT
#define FORMAT_FIRST 2 /* of those with this head */
#define HASH_BYTES 32
#define HEAD_BYTES (8 + 4 + 4 + 8 + 8 + HASH_BYTES)
#define PIECE_HEAD_BYTES (4 + 8)
#define OLD_HEAD_BYTES (8 + 8 + HASH_BYTES)

static const size_t widths[] = {
    [ARENA_FLAGS] = 4, [ARENA_COUNTS] = 8, [ARENA_FLOATS] = 4, [ARENA_DOUBLES] = 8};

/* One value of the arena as a whole number with the same bits. */
static uint64_t bits_of(const unsigned char *at, size_t width)
{
    uint32_t four;
    uint64_t eight;
    if (width == 4) {
        memcpy(&four, at, 4);
        return four;
    }
    memcpy(&eight, at, 8);
    return eight;
}

static void store_bits(unsigned char *at, uint64_t bits, size_t width)
{
    uint32_t four = (uint32_t)bits;
    memcpy(at, width == 4 ? (const void *)&four : (const void *)&bits, width);
}

/* ---- writing ---- */

static size_t fields_size(const struct snapshot *s, size_t n_pieces)
{
    size_t n = 0;
    for (size_t i = 0; i < n_pieces; i++) {
        const struct arena_piece *p = &s->state->pieces[i];
        assert(p->kind != ARENA_BYTES);
        n += PIECE_HEAD_BYTES + p->n * widths[p->kind];
    }
    return n;
}

size_t snapshot_size(const struct snapshot *s)
{
    return HEAD_BYTES + fields_size(s, s->state->n_pieces);
}

static unsigned char *write_piece(const struct arena *state, const struct arena_piece *p,
                                  unsigned char *to)
{
    size_t width = widths[p->kind];
    bytes_from_whole(to, p->kind, 4);
    bytes_from_whole(to + 4, p->n, 8);
    to += PIECE_HEAD_BYTES;
    for (size_t i = 0; i < p->n; i++)
        bytes_from_whole(to + i * width, bits_of(state->base + p->at + i * width, width), width);
    return to + p->n * width;
}

void snapshot_write(const struct snapshot *s, unsigned char *out)
{
    unsigned char *fields = out + HEAD_BYTES, *to = fields;
    for (size_t i = 0; i < s->state->n_pieces; i++)
        to = write_piece(s->state, &s->state->pieces[i], to);
    bytes_from_whole(out, MAGIC, 8);
    bytes_from_whole(out + 8, FORMAT, 4);
    bytes_from_whole(out + 12, s->state->n_pieces, 4);
    bytes_from_whole(out + 16, s->decoder_id, 8);
    bytes_from_whole(out + 24, (uint64_t)(to - fields), 8);
    crypto_hash_sha256(out + 32, fields, (size_t)(to - fields));
}

/* ---- reading ---- */

/* Can it be a value of that kind? */
static bool is_sound(enum arena_kind kind, uint64_t bits, bool failed)
{
    uint32_t low = (uint32_t)bits;
    float f;
    double d;
    switch (kind) {
    case ARENA_FLAGS:
        return bits <= 1;
    case ARENA_COUNTS:
        return bits < ARENA_MAX_COUNT;
    case ARENA_FLOATS:
        memcpy(&f, &low, sizeof f);
        return failed || isfinite(f);
    case ARENA_DOUBLES:
        memcpy(&d, &bits, sizeof d);
        return failed || isfinite(d);
    case ARENA_BYTES:
        break;
    }
    return false;
}

static bool piece_is_sound(const struct arena_piece *p, const unsigned char *values, bool failed)
{
    size_t width = widths[p->kind];
    for (size_t i = 0; i < p->n; i++)
        if (!is_sound(p->kind, bytes_to_whole(values + i * width, width), failed)) return false;
    return true;
}

static void piece_store(const struct arena *state, const struct arena_piece *p,
                        const unsigned char *values)
{
    size_t width = widths[p->kind];
    for (size_t i = 0; i < p->n; i++)
        store_bits(state->base + p->at + i * width, bytes_to_whole(values + i * width, width),
                   width);
}

/* The last flag of the first piece. */
static bool says_failed(const struct snapshot *s, const unsigned char *values)
{
    const struct arena_piece *first = s->state->pieces;
    assert(first->kind == ARENA_FLAGS && first->n > 0);
    return bytes_to_whole(values + 4 * (first->n - 1), 4) != 0;
}

/* Where the values of piece i lie, from those of the piece before it. */
typedef const unsigned char *find_fn(const struct snapshot *s, const unsigned char *fields,
                                     const unsigned char *after, size_t i);

static const unsigned char *find_field(const struct snapshot *s, const unsigned char *fields,
                                       const unsigned char *after, size_t i)
{
    const struct arena_piece *p = &s->state->pieces[i];
    (void)fields;
    if (bytes_to_whole(after, 4) != p->kind || bytes_to_whole(after + 4, 8) != p->n) return NULL;
    return after + PIECE_HEAD_BYTES;
}

static const unsigned char *find_old(const struct snapshot *s, const unsigned char *fields,
                                     const unsigned char *after, size_t i)
{
    (void)after;
    return fields + s->state->pieces[i].at;
}

static bool read_pieces(const struct snapshot *s, const unsigned char *fields, find_fn *find,
                        size_t n_pieces)
{
    const struct arena *state = s->state;
    for (int stores = 0; stores <= 1; stores++) {
        const unsigned char *after = fields;
        bool failed = false;
        for (size_t i = 0; i < n_pieces; i++) {
            const struct arena_piece *p = &state->pieces[i];
            const unsigned char *values = find(s, fields, after, i);
            if (!values) return false;
            if (i == 0) failed = says_failed(s, values);
            if (stores)
                piece_store(state, p, values);
            else if (!piece_is_sound(p, values, failed))
                return false;
            after = values + p->n * widths[p->kind];
        }
    }
    return true;
}

static bool hash_fits(const unsigned char *hash, const unsigned char *bytes, size_t n)
{
    unsigned char found[HASH_BYTES];
    crypto_hash_sha256(found, bytes, n);
    return memcmp(found, hash, sizeof found) == 0;
}

static bool read_old(const struct snapshot *s, const unsigned char *bytes, size_t n)
{
    size_t used = s->n_old_bytes;
    if (n < OLD_HEAD_BYTES + used || bytes_to_whole(bytes, 8) != s->decoder_id ||
        bytes_to_whole(bytes + 8, 8) != used)
        return false;
    if (!hash_fits(bytes + 16, bytes + OLD_HEAD_BYTES, used)) return false;
    return read_pieces(s, bytes + OLD_HEAD_BYTES, find_old, s->n_old_pieces);
}

int snapshot_read(const struct snapshot *s, const unsigned char *bytes, size_t n)
{
    if (n < 8) return 0;
    if (bytes_to_whole(bytes, 8) != MAGIC) return read_old(s, bytes, n) ? 1 : 0;
    if (n < HEAD_BYTES) return 0;
    uint64_t format = bytes_to_whole(bytes + 8, 4);
    size_t n_pieces = format == FORMAT ? s->state->n_pieces : s->n_old_pieces;
    size_t n_fields = fields_size(s, n_pieces);
    if (format < FORMAT_FIRST || format > FORMAT || n < HEAD_BYTES + n_fields ||
        bytes_to_whole(bytes + 12, 4) != n_pieces ||
        bytes_to_whole(bytes + 16, 8) != s->decoder_id || bytes_to_whole(bytes + 24, 8) != n_fields)
        return 0;
    if (!hash_fits(bytes + 32, bytes + HEAD_BYTES, n_fields)) return 0;
    return read_pieces(s, bytes + HEAD_BYTES, find_field, n_pieces) ? (int)format : 0;
}
